#include "app/cli/chat_help.h"

namespace om::app {
namespace {

std::string parameter_help() {
  return R"(Available Parameters:
  /set parameter seed <int>             Random number seed
  /set parameter num_predict <int>      Most tokens to answer with
  /set parameter top_k <int>            Pick from so many tokens
  /set parameter top_p <float>          Pick from tokens of so much probability in all
  /set parameter min_p <float>          Pick from tokens at least so probable, against the best
  /set parameter num_ctx <int>          Size of the context, in tokens
  /set parameter temperature <float>    How freely to pick
  /set parameter repeat_penalty <float> How strongly to avoid repetition
  /set parameter repeat_last_n <int>    How far back to look for repetition
  /set parameter num_gpu <int>          Layers to give to the graphics card
  /set parameter stop <string> ...      Texts that end the answer

)";
}

}  // namespace

std::string chat_help(std::string_view topic) {
  if (topic == "set") {
    return R"(Available Commands:
  /set parameter ...     Set a parameter
  /set system <string>   Set system message
  /set history           Keep what is typed
  /set nohistory         Do not keep what is typed
  /set wordwrap          Break lines at words
  /set nowordwrap        Leave lines as they come
  /set format json       Answer in JSON
  /set noformat          Answer freely
  /set verbose           Show timings
  /set quiet             Hide timings
  /set think [level]     Let the model think: low, medium, high, max
  /set nothink           No thinking

)";
  }
  if (topic == "set-parameter") return parameter_help();
  if (topic == "show") {
    return R"(Available Commands:
  /show info         Show details of this model
  /show license      Show the model's license
  /show modelfile    Show the Modelfile of this model
  /show parameters   Show parameters of this model
  /show system       Show the system message
  /show template     Show the prompt template

)";
  }
  if (topic == "shortcuts") {
    return R"(Keys:
  Ctrl + a / e    Begin / end of the line
  Alt + b / f     Back / forward one word
  Ctrl + k / u    Delete to the end / the whole line
  Ctrl + w        Delete the word before the cursor
  Ctrl + r        Search what was typed before
  Ctrl + l        Clear the screen
  Ctrl + c        Stop the answer
  Ctrl + d        Leave (/bye)

)";
  }
  return R"(Available Commands:
  /set            Set session variables
  /show           Show model information
  /list           List the models
  /load <model>   Load another model
  /save <model>   Save this session as a model
  /clear          Forget the conversation
  /bye            Exit
  /?, /help       Help for a command
  /? shortcuts    Help for keyboard shortcuts

Use """ to begin and end a message of several lines.

)";
}

}  // namespace om::app
