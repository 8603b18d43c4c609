#include "app/cli/image_paths.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"

namespace om::app {
namespace {

constexpr std::string_view kEndings[] = {".jpg", ".jpeg", ".png", ".webp", ".wav"};
constexpr size_t kPathMax = 4096;
constexpr int kWordsMax = 16;  // Of a path whose blanks nothing marks.

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Behind the ending that begins at the dot; 0 if none does.
size_t end_of_ending(std::string_view text, size_t dot) {
  for (const std::string_view ending : kEndings) {
    const size_t end = dot + ending.size();
    if (istarts_with(text.substr(dot), ending) && (end == text.size() || !is_word(text[end]))) {
      return end;
    }
  }
  return 0;
}

// As a shell reads a word.
std::string without_backslashes(std::string_view text) {
  std::string path;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '\\' && i + 1 < text.size()) i++;
    path += text[i];
  }
  return path;
}

class Finder {
 public:
  Finder(std::string_view text, const std::function<bool(const std::string&)>& exists)
      : text_(text), exists_(exists) {}

  std::vector<ImagePath> run() {
    for (size_t dot = text_.find('.'); dot != std::string_view::npos;
         dot = text_.find('.', dot + 1)) {
      const size_t end = end_of_ending(text_, dot);
      if (end == 0) continue;
      if (auto found = ending_at(end)) {
        from_ = found->end;
        found_.push_back(std::move(*found));
      }
    }
    return std::move(found_);
  }

 private:
  std::optional<ImagePath> ending_at(size_t end) const {
    const size_t least = std::max(from_, end - std::min(end, kPathMax));
    if (auto quoted = between_quotes(least, end)) return quoted;
    int words = 0;
    for (size_t begin = end - 1; words < kWordsMax; begin--) {
      const bool first = begin == least || text_[begin - 1] == '\n';
      const bool blank_before = !first && is_blank(text_[begin - 1]);
      if (first || blank_before) {
        const bool marked = begin >= 2 && text_[begin - 2] == '\\' && blank_before;
        // Of more than one word it has to begin as a path does.
        if (!marked && (words++ == 0 || begins_as_path(begin))) {
          if (auto found = take(begin, end)) return found;
        }
      }
      if (first) break;
    }
    return std::nullopt;
  }

  std::optional<ImagePath> between_quotes(size_t least, size_t end) const {
    if (end == text_.size() || (text_[end] != '\'' && text_[end] != '"')) return std::nullopt;
    const size_t opening = text_.rfind(text_[end], end - 1);
    if (opening == std::string_view::npos || opening < least) return std::nullopt;
    std::string path(text_.substr(opening + 1, end - opening - 1));
    if (!exists_(path)) return std::nullopt;
    return ImagePath{opening, end + 1, std::move(path)};
  }

  bool begins_as_path(size_t begin) const {
    const std::string_view word = text_.substr(begin);
    return word.starts_with("/") || word.starts_with("./") || word.starts_with("../");
  }

  std::optional<ImagePath> take(size_t begin, size_t end) const {
    while (begin < end && std::string_view("(['\"<").contains(text_[begin])) begin++;
    std::string_view word = text_.substr(begin, end - begin);
    if (word.starts_with("file://")) word.remove_prefix(7);
    for (std::string path : {std::string(word), without_backslashes(word)}) {
      if (exists_(path)) return ImagePath{begin, end, std::move(path)};
    }
    return std::nullopt;
  }

  std::string_view text_;
  const std::function<bool(const std::string&)>& exists_;
  size_t from_ = 0;  // What is before it is taken.
  std::vector<ImagePath> found_;
};

}  // namespace

std::vector<ImagePath> find_image_paths(std::string_view text,
                                        const std::function<bool(const std::string&)>& exists) {
  return Finder(text, exists).run();
}

}  // namespace om::app
