// The name of a model: [scheme://][host/][namespace/]model[:tag].
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace om::model {

// A checked, complete name; every part is safe as one path component.
struct Name {
  std::string scheme = "https";  // Only for the registry; not part of the identity.
  std::string host = "registry.ollama.ai";
  std::string name_space = "library";
  std::string model;
  std::string tag = "latest";

  // Fills in the defaults. invalid_argument "invalid model name": a part breaks Ollama's rules
  // (first [A-Za-z0-9_], rest also - _ .; no dot in the namespace; lengths 1..80, host 1..350).
  static Result<Name> parse(std::string_view text);

  std::string str() const;       // host/namespace/model:tag, always complete.
  std::string shortest() const;  // Without default host and namespace, always with the tag.
  std::string path() const;      // host/namespace/model/tag, relative to manifests/.

  bool equal_ignoring_case(const Name& other) const;
  bool operator==(const Name& other) const;  // Exact, scheme apart.
};

// Where a client wants a model to run, told by a suffix of the name it wrote.
enum class Place { any, local, cloud };

struct PlacedName {
  std::string name;  // Without a ":local" or ":cloud" suffix.
  Place place = Place::any;
};

// Splits ":local" and ":cloud" off; a tag that ends in "-cloud" means cloud too and stays.
// invalid_argument: `use either :local or :cloud, not both: "x:cloud:local"`.
Result<PlacedName> split_place(std::string_view text);

}  // namespace om::model
