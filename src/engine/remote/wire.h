// What nodes write to each other about completions: one JSON text a line. Strings may hold bytes
// that are not UTF-8 (log probabilities of partial tokens); both ends pass them through.
//
// An answer consists of lines with pieces or a result, and of pulses, `{}`, in between. After an
// error it ends with {"error":{"code":"unavailable","what":"..."}}.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "engine/engine.h"

namespace om::engine {

inline constexpr std::string_view kPulseLine = "{}\n";

std::string encode_completion(const CompletionRequest& request);
// corrupt: not a completion request.
Result<CompletionRequest> decode_completion(std::string_view text);

void append_piece(std::string& out, const Piece& piece);  // With its line feed.
Piece decode_piece(const boost::json::object& line);

// [["token", -0.5, [["alternative", -1.5]]]]
void append_logprobs(std::string& out, const std::vector<model::Logprob>& logprobs);
std::vector<model::Logprob> decode_logprobs(const boost::json::array& array);

boost::json::object encode_properties(const Properties& properties);
Properties decode_properties(const boost::json::object& object);

std::string error_line(const Error& error);

// corrupt: not a JSON object.
Result<boost::json::object> parse_line(std::string_view line);
// The other node's own error, if the line tells one.
std::optional<Error> error_in(const boost::json::object& line);

boost::json::array encode_tokens(const std::vector<Token>& tokens);
std::vector<Token> decode_tokens(const boost::json::array& array);

}  // namespace om::engine
