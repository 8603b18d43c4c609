#include "store/layout.h"

#include "base/strings.h"

namespace om::store {
namespace {

// Names in a folder of manifests; none if it is gone or is a file.
std::vector<std::string> entries(io::Filesystem& files, const io::Path& directory,
                                 std::optional<Error>& unseen) {
  auto found = files.list(directory);
  if (found) return std::move(*found);
  if (!unseen && found.error().code != Errc::not_found) unseen = std::move(found).error();
  return {};
}

void add_model(io::Filesystem& files, const io::Path& folder, const std::string& host,
               const std::string& name_space, const std::string& model, ManifestFiles& into) {
  for (const std::string& tag : entries(files, folder, into.unseen)) {
    const auto name = model::Name::parse(fmt::format("{}/{}/{}:{}", host, name_space, model, tag));
    const bool matches = name && name->host == host && name->name_space == name_space &&
                         name->model == model && name->tag == tag;
    if (!matches) {
      if (!tag.starts_with('.')) into.strangers++;  // A desktop's .DS_Store means nothing.
      continue;
    }
    into.files.push_back({*name, io::join(folder, tag)});
  }
}

std::string spelling(io::Filesystem& files, const io::Path& directory, const std::string& part) {
  if (files.exists(io::join(directory, part))) return part;
  std::optional<Error> unseen;  // Then the name is as good as any: its manifest cannot be read.
  for (const std::string& entry : entries(files, directory, unseen)) {
    if (iequals(entry, part)) return entry;
  }
  return part;
}

}  // namespace

Result<ManifestFiles> list_manifest_files(io::Filesystem& files, const Layout& layout) {
  ManifestFiles found;
  TRY(const auto hosts, files.list(layout.manifests()));
  for (const std::string& host : hosts) {
    const io::Path host_folder = io::join(layout.manifests(), host);
    for (const std::string& name_space : entries(files, host_folder, found.unseen)) {
      const io::Path space_folder = io::join(host_folder, name_space);
      for (const std::string& model : entries(files, space_folder, found.unseen)) {
        add_model(files, io::join(space_folder, model), host, name_space, model, found);
        if (found.files.size() > kManifestsMax) {
          return fail(Errc::overloaded, "{}: more than {} models", layout.manifests(),
                      kManifestsMax);
        }
      }
    }
  }
  return found;
}

model::Name spelled_as_stored(io::Filesystem& files, const Layout& layout, model::Name name) {
  if (files.exists(layout.manifest(name))) return name;
  io::Path folder = layout.manifests();
  for (std::string* part : {&name.host, &name.name_space, &name.model, &name.tag}) {
    *part = spelling(files, folder, *part);
    folder = io::join(folder, *part);
  }
  return name;
}

}  // namespace om::store
