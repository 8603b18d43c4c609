#include "app/cluster_state.h"

#include "base/json_fields.h"
#include "model/json_text.h"

namespace om::app {
namespace {

namespace json = boost::json;

constexpr std::string_view kFile = "cluster.json";
constexpr uint64_t kFileBytesMax = 16 << 20;

// Every member of a ClusterState but `known` under its name, for the writer and the reader.
template <class State, class Each>
void each_field(State& state, Each&& each) {
  each("name", state.name);
  each("host", state.advertise.host);
  each("port", state.advertise.port);
  each("advertise_found", state.advertise_found);
  each("advertise_before", state.advertise_before);
  each("advertise_setting", state.advertise_setting);
  each("listen_port", state.listen_port);
  each("voter", state.voter);
  each("external_etcd", state.external_etcd);
  each("one_port", state.one_port);
  each("newcomer", state.newcomer);
}

}  // namespace

io::Path cluster_directory(std::string_view state_directory) {
  return io::join(state_directory, "cluster");
}

Result<ClusterState> load_cluster_state(io::Filesystem& files, const io::Path& directory) {
  TRY(const std::string text, files.read_file(io::join(directory, kFile), kFileBytesMax));
  TRY(const json::object object, model::parse_json_object(text, kFile));
  const JsonFields fields(object);
  ClusterState state;
  each_field(state, [&](auto name, auto& value) { fields.read(name, value); });
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
  json::object object;
  each_field(state, [&](auto name, const auto& value) { object[name] = value; });
  object["known"] = std::move(known);
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
