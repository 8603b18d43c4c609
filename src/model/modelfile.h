// A Modelfile: what a person writes to make a model, and what `show --modelfile` prints.
// Plain values and pure functions of text; any thread.
// Source: https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/chat.h"

namespace om::model {

struct Modelfile {
  std::vector<std::string> from;  // Names or paths, as written. At least one after parse().
  std::vector<std::string> adapters, drafts;
  std::optional<std::string> template_text, system;
  std::string renderer, parser;
  std::string requires_version;  // Semantic version without a leading v.
  boost::json::object parameters;
  std::vector<std::string> licenses;
  std::vector<Message> messages;
  std::vector<std::string> warnings;  // `parameter mirostat is deprecated`

  // UTF-8, or UTF-16 with a byte order mark. Non-printable characters are dropped, as Ollama does.
  // invalid_argument: `no FROM line`, `(line 3): command must be one of ...`,
  // `(line 2): message role must be one of ...`, `unexpected EOF` (an open quote),
  // `unknown parameter 'x'`, `invalid int value [abc]`.
  static Result<Modelfile> parse(std::string_view bytes);

  // The commands, one each; parse() gives the same values back.
  std::string to_text() const;
};

// The `modelfile` text of show: a comment that tells how to build on `name`, then the commands.
std::string show_modelfile(const Modelfile& modelfile, std::string_view name);

}  // namespace om::model
