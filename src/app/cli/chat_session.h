// The interactive chat of `run`: reads lines, keeps the conversation, obeys /commands.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "app/cli/answer_view.h"
#include "app/cli/line_editor.h"

namespace om::app {

class ChatSession {
 public:
  // `request` holds what every turn sends: model, format, think, keep_alive.
  ChatSession(Cli& cli, boost::json::object request, AnswerStyle style, bool sees_images,
              std::string history_file);

  // Runs until /bye or Ctrl-D. `before`: the model's own first messages, shown as if just said.
  CommandTask run(boost::json::array before);

 private:
  enum class Next { go_on, leave };

  io::Task<Result<void>> preload();
  void print_before(const boost::json::array& before) const;
  io::Task<Result<void>> ask(std::string text);
  io::Task<Next> command(std::string line);
  io::Task<Result<void>> set(std::vector<std::string> words, std::string line);
  bool begins_with_image(const std::string& line) const;
  Result<void> set_parameter(const std::vector<std::string>& words);
  io::Task<Result<void>> show(std::vector<std::string> words);
  io::Task<Result<void>> load(std::string model);
  io::Task<Result<void>> save(std::string name);
  bool take_multiline(std::string& line);  // False while a """ block is open.

  Cli& cli_;
  boost::json::object request_;
  boost::json::object options_;
  boost::json::array messages_;
  std::string system_;
  AnswerStyle style_;
  bool sees_images_;
  LineEditor editor_;
  Interrupt interrupt_;
  std::string block_;  // What a """ block holds so far.
  enum class Block { none, prompt, system } in_block_ = Block::none;
};

// Takes the paths of images out of the text and returns the files in base64. io_failed: one cannot
// be read.
Result<boost::json::array> take_images(io::World& world, std::string& text);

}  // namespace om::app
