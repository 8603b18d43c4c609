// The parsers: whatever way the bytes are cut, the result is the same.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/strings.h"
#include "http/chunked.h"
#include "http/event_stream.h"
#include "http/head.h"

namespace om::http {
namespace {

struct Decoded {
  std::string body, rest;
  bool done = false, failed = false;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(std::string_view all, size_t slice) {
  ChunkDecoder decoder;
  Decoded decoded;
  for (size_t at = 0; at < all.size(); at += slice) {
    std::string_view input = all.substr(at, slice);
    while (!input.empty() && !decoder.done() && !decoder.failed()) {
      decoded.body += decoder.next(input);
    }
    if (decoder.done()) decoded.rest += input;
  }
  decoded.done = decoder.done();
  decoded.failed = decoder.failed();
  return decoded;
}

std::string encode(const std::vector<std::string>& pieces) {
  std::string encoded;
  ChunkHead head;
  for (const auto& piece : pieces) {
    if (!piece.empty()) encoded.append(head.of(piece.size())).append(piece).append("\r\n");
  }
  return encoded + "0\r\n\r\n";
}

RC_GTEST_PROP(Chunks, AreReadBackAsWritten, (const std::vector<std::string>& pieces)) {
  std::string whole;
  for (const auto& piece : pieces) whole += piece;
  const std::string encoded = encode(pieces) + "next";
  for (size_t slice = 1; slice <= 69; slice++) {
    const Decoded decoded = decode(encoded, slice);
    RC_ASSERT(decoded.done);
    RC_ASSERT(decoded.body == whole);
    RC_ASSERT(decoded.rest == "next");
  }
}

RC_GTEST_PROP(Chunks, GiveTheSameResultHoweverTheyAreCut, ()) {
  // Letters that matter to the coding, so that nonsense gets deep into it.
  const auto bytes = *rc::gen::container<std::string>(
      rc::gen::elementOf(std::string("0011aF;=\"\\x\r\n\r\n\r\n \t")));
  const Decoded whole = decode(bytes, bytes.size() + 1);
  for (size_t slice = 1; slice <= 69; slice++) RC_ASSERT(decode(bytes, slice) == whole);
}

TEST(Chunks, AreRefusedWhereParsersDisagree) {
  for (const std::string_view text :
       {"g\r\n", "\r\n", " 1\r\na\r\n", "1 \r\na\r\n", "-1\r\n", "0x1\r\na\r\n", "1\na\r\n",
        "1\r\nab\r\n", "1\r\na\n", "11111111111111111\r\n", "1;a\nb\r\n", "0\r\n\n",
        "0\r\nA: b\n"}) {
    EXPECT_TRUE(decode(text, 100).failed) << text;
  }
  EXPECT_TRUE(decode("1;" + std::string(ChunkDecoder::kExtensionBytesMax, 'x'), 100).failed);
  EXPECT_TRUE(decode("0\r\n" + std::string(ChunkDecoder::kTrailerBytesMax + 1, 'x'), 100).failed);
}

TEST(Chunks, MayHaveExtensionsAndTrailers) {
  const Decoded decoded =
      decode("1;a=\"b;\\\"c\"\r\nx\r\nA;q\r\n0123456789\r\n0\r\nTrailer: y\r\n\r\n", 7);
  EXPECT_TRUE(decoded.done);
  EXPECT_EQ(decoded.body, "x0123456789");
}

struct Scanned {
  size_t length = 0;
  int refused = 0;
  bool operator==(const Scanned&) const = default;
};

Scanned scan(std::string_view all, size_t slice) {
  HeadLimits limits;
  limits.bytes_max = 200;
  limits.target_bytes_max = 50;
  HeadScanner scanner(limits);
  for (size_t end = 0; end < all.size();) {
    end = std::min(all.size(), end + slice);
    if (const size_t length = scanner.scan(all.substr(0, end))) return {length, 0};
    if (scanner.refused()) return {0, scanner.refused().status};
  }
  return {};
}

RC_GTEST_PROP(Head, IsFoundHoweverItIsCut, ()) {
  const auto bytes = *rc::gen::scale(
      8, rc::gen::container<std::string>(rc::gen::elementOf(std::string("aaaaa: \r\n\r\n\n"))));
  const std::string text = "\r\nGET / HTTP/1.1\r\n" + bytes + "\r\n\r\n";
  const Scanned whole = scan(text, text.size());
  for (size_t slice = 1; slice <= 69; slice++) RC_ASSERT(scan(text, slice) == whole);
}

ResponseHead response(std::string_view text, int refused = 0) {
  ResponseHead head;
  EXPECT_EQ(parse_response_head(text, HeadLimits{}, head).status, refused) << text;
  return head;
}

TEST(Head, OfAResponseTellsHowItsBodyEnds) {
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").length, 5u);
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n").length,
            5u);
  EXPECT_EQ(response("HTTP/1.1 200\r\n\r\n").framing, Framing::until_close);
  EXPECT_EQ(response("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n").framing, Framing::none);
  EXPECT_EQ(response("HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n").framing, Framing::none);
  const auto both =
      response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(both.framing, Framing::chunked);
  EXPECT_FALSE(both.keep_alive);
  response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400);
  response("HTTP/1.1 20 OK\r\n\r\n", 400);
  response("HTTP/1.1 999 OK\r\n\r\n", 400);
  response("ICY 200 OK 123456\r\n\r\n", 400);
}

std::vector<std::string> read_events(std::string_view all, size_t slice) {
  SseReader reader;
  SseEvent event;
  std::vector<std::string> events;
  for (size_t at = 0; at < all.size(); at += slice) {
    std::string_view input = all.substr(at, slice);
    while (true) {
      const auto whole = reader.next(input, event);
      EXPECT_TRUE(whole.has_value());
      if (!whole || !*whole) break;
      events.push_back(event.event + "|" + event.id + "|" + event.data);
    }
  }
  return events;
}

TEST(ServerSentEvents, AreReadAsTheStandardSays) {
  const std::vector<std::string> expected{"||a\nb", "x|1|c", "|1| d", "|1|", "|2|e"};
  const std::string_view text =
      "\xEF\xBB\xBF"
      ": comment\n\ndata: a\ndata:b\n\nevent: x\r\nid: 1\r\ndata: c\r\n\r\n"
      "event: lost\n\ndata:  d\r\rdata\n\nretry: 5\nunknown: z\nid:2\ndata:e\n\ndata: unfinished";
  for (size_t slice = 1; slice <= 69; slice++) EXPECT_EQ(read_events(text, slice), expected);
}

std::string written_event(std::string_view name, std::string_view data) {
  std::string text = fmt::format("event: {}\n", name);
  for (const std::string_view line : split(data, '\n')) text += fmt::format("data: {}\n", line);
  return text + "\n";
}

RC_GTEST_PROP(ServerSentEvents, AreReadBackAsWritten, ()) {
  const auto texts = *rc::gen::container<std::vector<std::string>>(
      rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab: \n{}"))));
  std::string stream;
  std::vector<std::string> expected;
  for (const auto& text : texts) {
    stream += written_event("e", text);
    expected.push_back("e||" + text);
  }
  for (size_t slice = 1; slice <= 69; slice++) RC_ASSERT(read_events(stream, slice) == expected);
}

TEST(ServerSentEvents, AreBounded) {
  const std::string text(SseReader::kEventBytesMax + 1, 'x');
  SseEvent event;
  std::string_view input = text;
  SseReader line_reader;
  EXPECT_FALSE(line_reader.next(input, event).has_value());
  const std::string half = "data: " + std::string(SseReader::kEventBytesMax / 2, 'x') + "\n";
  const std::string twice = half + half + "\n";
  input = twice;
  SseReader event_reader;
  EXPECT_FALSE(event_reader.next(input, event).has_value());
}

RC_GTEST_PROP(JsonLines, AreReadHoweverTheyAreCut, ()) {
  const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("{}a \r\n\n")));
  const auto read = [&](size_t slice) {
    NdjsonReader reader;
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size(); at += slice) {
      std::string_view input = std::string_view(text).substr(at, slice);
      std::string_view line;
      for (auto whole = reader.next(input, line); whole && *whole;
           whole = reader.next(input, line)) {
        lines.emplace_back(line);
      }
    }
    lines.emplace_back(reader.rest());
    return lines;
  };
  const auto whole = read(text.size() + 1);
  for (size_t slice = 1; slice <= 69; slice++) RC_ASSERT(read(slice) == whole);
}

TEST(JsonLines, AreBounded) {
  NdjsonReader reader(10);
  std::string_view input = "0123456789a";
  std::string_view line;
  EXPECT_FALSE(reader.next(input, line).has_value());
}

}  // namespace
}  // namespace om::http
