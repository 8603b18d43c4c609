#include "transfer/upload_table.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/json_fields.h"
#include "base/log.h"
#include "io/wall_time.h"

namespace om::transfer {
namespace {

constexpr uint64_t kFileBytesMax = 1 << 20;
constexpr size_t kUrlBytesMax = 8 * 1024;
constexpr int64_t kSecondsMax = 9'000'000'000;  // More than a WallTime counts up to.
constexpr unsigned kOwnerOnly = 0600;

}  // namespace

UploadTable::Claim::~Claim() {
  if (table_) table_->claimed_.erase(blob_);
}

std::string UploadTable::Claim::url() const {
  if (!table_) return {};
  const auto found = table_->uploads_.find(blob_);
  return found == table_->uploads_.end() ? std::string() : found->second.url;
}

io::Task<void> UploadTable::Claim::remember(std::string url) {
  if (!table_ || url.size() > kUrlBytesMax) co_return;
  table_->uploads_[blob_] = {std::move(url), table_->world_.clock.wall_now()};
  co_await table_->save();
}

io::Task<void> UploadTable::Claim::forget() {
  if (!table_ || table_->uploads_.erase(blob_) == 0) co_return;
  co_await table_->save();
}

io::Task<std::unique_ptr<UploadTable::Claim>> UploadTable::claim(std::string blob) {
  if (!loaded_) co_await load();
  const bool first = claimed_.insert(blob).second;
  co_return std::make_unique<Claim>(first ? this : nullptr, std::move(blob));
}

io::Task<void> UploadTable::load() {
  std::string text;
  if (!file_.empty()) {
    auto job = [this] { return world_.files.read_file(file_, kFileBytesMax); };
    auto read = co_await world_.workers.run(std::move(job));
    if (read) {
      text = std::move(*read);
    } else if (read.error().code != Errc::not_found) {
      log_warn("pushes that broke begin anew", field("error", read.error()));
    }
  }
  if (loaded_) co_return;  // Somebody else was faster.
  loaded_ = true;
  boost::system::error_code error;
  const auto list = boost::json::parse(text, error);
  if (error || !list.is_array()) co_return;
  for (const auto& item : list.get_array()) {
    const auto* entry = item.if_object();
    const auto* seen = entry ? entry->if_contains("seen") : nullptr;
    if (!seen || !seen->is_int64()) continue;
    if (seen->get_int64() < 0 || seen->get_int64() > kSecondsMax) continue;
    std::string blob = JsonFields(*entry).text("blob"), url = JsonFields(*entry).text("url");
    if (blob.empty() || url.empty()) continue;
    uploads_[std::move(blob)] = {std::move(url),
                                 io::WallTime(std::chrono::seconds(seen->get_int64()))};
  }
  drop_old();
}

void UploadTable::drop_old() {
  const io::WallTime now = world_.clock.wall_now();
  std::erase_if(uploads_,
                [now](const auto& entry) { return now - entry.second.seen > kUploadAgeMax; });
  while (uploads_.size() > kUploadsRememberedMax) {
    uploads_.erase(std::ranges::min_element(uploads_, {},
                                            [](const auto& entry) { return entry.second.seen; }));
  }
}

// Changes made while the file is being written are written by the same coroutine, afterwards.
io::Task<void> UploadTable::save() {
  drop_old();
  changed_ = true;
  if (writing_ || file_.empty()) co_return;
  writing_ = true;
  while (changed_) {
    changed_ = false;
    boost::json::array list;
    for (const auto& [blob, upload] : uploads_) {
      list.push_back(boost::json::object{
          {"blob", blob}, {"url", upload.url}, {"seen", io::unix_seconds(upload.seen)}});
    }
    auto job = [this, text = boost::json::serialize(list)]() -> Result<void> {
      TRY_VOID(world_.files.make_directories(io::parent(file_)));
      TRY_VOID(world_.files.write_file(file_, text));
      return world_.files.set_mode(file_, kOwnerOnly);
    };
    const auto written = co_await world_.workers.run(std::move(job));
    if (!written) log_warn("a push that breaks begins anew", field("error", written.error()));
  }
  writing_ = false;
}

}  // namespace om::transfer
