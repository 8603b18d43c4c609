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
                            {"voter", state.voter},
                            {"external_etcd", state.external_etcd},
                            {"one_port", state.one_port},
                            {"newcomer", state.newcomer},
                            {"known", std::move(known)}};
  TRY_VOID(files.make_directories(directory));
  TRY_VOID(files.set_mode(directory, 0700));
  return files.write_file(io::join(directory, kFile), json::serialize(object) + "\n");
}

}  // namespace om::app
