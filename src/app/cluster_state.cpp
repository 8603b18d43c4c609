#include "app/cluster_state.h"

#include "base/json_fields.h"
#include "model/json_text.h"

namespace om::app {
namespace {

namespace json = boost::json;

constexpr std::string_view kFile = "cluster.json";
constexpr uint64_t kFileBytesMax = 16 << 20;

}  // namespace

io::Path cluster_directory(std::string_view state_directory) {
  return io::join(state_directory, "cluster");
}

Result<ClusterState> load_cluster_state(io::Filesystem& files, const io::Path& directory) {
  TRY(const std::string text, files.read_file(io::join(directory, kFile), kFileBytesMax));
  TRY(const json::object object, model::parse_json_object(text, kFile));
  const JsonFields fields(object);
  ClusterState state;
  fields.read("name", state.name);
  fields.read("host", state.advertise.host);
  fields.read("port", state.advertise.port);
  fields.read("advertise_found", state.advertise_found);
  fields.read("advertise_before", state.advertise_before);
  fields.read("advertise_setting", state.advertise_setting);
  fields.read("listen_port", state.listen_port);
  fields.read("voter", state.voter);
  fields.read("external_etcd", state.external_etcd);
  fields.read("one_port", state.one_port);
  fields.read("newcomer", state.newcomer);
  if (const json::array* known = fields.array("known")) {
    for (const json::value& value : *known) {
      if (!value.is_string()) continue;
      if (auto member = cluster::read_member(value.get_string())) {
        state.known.push_back(std::move(*member));
      }
    }
  }
  if (state.name.empty() || state.advertise.port == 0) {
    return fail(Errc::corrupt, "{}: no name or no address", io::join(directory, kFile));
  }
  return state;
}

Result<void> save_cluster_state(io::Filesystem& files, const io::Path& directory,
                                const ClusterState& state) {
  json::array known;
  for (const cluster::Member& member : state.known) {
    known.emplace_back(cluster::write_member(member));
  }
  const json::object object{{"name", state.name},
                            {"host", state.advertise.host},
                            {"port", state.advertise.port},
                            {"advertise_found", state.advertise_found},
                            {"advertise_before", state.advertise_before},
                            {"advertise_setting", state.advertise_setting},
                            {"listen_port", state.listen_port},
                            {"voter", state.voter},
                            {"external_etcd", state.external_etcd},
                            {"one_port", state.one_port},
                            {"newcomer", state.newcomer},
                            {"known", std::move(known)}};
  TRY_VOID(files.make_directories(directory));
  TRY_VOID(files.set_mode(directory, 0700));
  return files.write_file(io::join(directory, kFile), json::serialize(object) + "\n");
}

// What makes it a member goes first, for good: with that file and without the rest the node would
// not start.
Result<void> remove_cluster(io::Filesystem& files, const io::Path& directory) {
  if (files.exists(io::join(directory, kFile))) {
    TRY_VOID(files.remove(io::join(directory, kFile)));
    TRY_VOID(files.sync_directory(directory));
  }
  return files.remove_all(directory);
}

}  // namespace om::app
