// A model that other work begins from; its files stay on this disk as long as that work takes.
#pragma once

#include "transfer/context.h"
#include "transfer/download_table.h"

namespace om::transfer {

// Whether the file is on this disk. One that may be read whole (store::kTextBytesMax) is read,
// since what it says goes into every answer: if it has changed it is put aside, so that it is
// fetched again. Where it cannot be moved it counts as here, and who loads the model is told.
io::Task<bool> has_file(Context& context, model::Layer file);

struct HeldModel {
  model::Name name;
  model::Manifest manifest;
  std::string bytes;                  // Of the manifest.
  bool is_agreed = false;             // The cluster knows it: other nodes may have its files.
  std::unique_ptr<store::Hold> hold;  // Set by hold_files().
  std::vector<Digest> fetched;        // Files that were not here before.
};

// What the cluster means by the name, else what this disk means. Without a majority: as last known.
// not_found: neither knows it.
io::Task<Result<HeldModel>> find_model(Context& context, model::Name name, io::Call call);

// Holds the model's files. Fetches those that only other nodes have, with a pull's statuses. Errors
// as DownloadTable::fetch().
io::Task<Result<void>> hold_files(Context& context, DownloadTable& downloads, HeldModel& model,
                                  const ProgressSink& sink, io::Call call);

// Removes the files that were fetched for it, unless a model here names them by now.
io::Task<void> release_model(Context& context, HeldModel model);

}  // namespace om::transfer
