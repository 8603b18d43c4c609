#include "prompt/schema_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prompt/constraint.h"

namespace om::prompt {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

std::string reason(const json::value& schema) {
  const auto checked = check_schema(schema);
  return checked ? "" : checked.error().what;
}

Result<std::string> grammar_of(const json::value& schema) {
  return format_grammar({model::Format::Kind::schema, json::serialize(schema)});
}

// {"$defs": {"D0": make(0), ...}, "$ref": "#/$defs/D0"}, in which each may name the next one.
template <class Make>
json::value chain(int length, Make make) {
  json::object definitions;
  for (int i = 0; i < length; ++i) definitions["D" + std::to_string(i)] = make(i + 1);
  definitions["D" + std::to_string(length)] = {{"type", "string"}};
  return {{"$defs", definitions}, {"$ref", "#/$defs/D0"}};
}

json::value reference(int i) { return {{"$ref", "#/$defs/D" + std::to_string(i)}}; }

// Each of these ended the process, or kept it busy for good.
TEST(SchemaLimits, RefuseWhatLeadsBackThroughAnAllOf) {
  EXPECT_THAT(reason(json::parse(R"({"allOf":[{"$ref":"#/allOf/0"}]})")),
              HasSubstr("#/allOf/0 of an allOf leads back to itself"));
  EXPECT_THAT(reason(json::parse(R"({"allOf":[{"$ref":"#/allOf/0x"}]})")), HasSubstr("no place"));
  EXPECT_NE(reason(json::parse(R"({"allOf":[{"$ref":"#/$defs/A"}],
      "$defs":{"A":{"$ref":"#/$defs/B"},"B":{"$ref":"#/$defs/A"}}})")),
            "");
  EXPECT_NE(reason(json::parse(R"({"$ref":"#/$defs/N","$defs":{"N":{"type":"object",
      "properties":{"next":{"allOf":[{"$ref":"#/$defs/N"},{"$ref":"#/$defs/N"}]}}}}})")),
            "");
  EXPECT_FALSE(grammar_of(json::parse(R"({"allOf":[{"$ref":"#/allOf/0"}]})")));
}

TEST(SchemaLimits, RefuseAlternativesOfAlternativesWithoutEnd) {
  const auto twice = [](int next) -> json::value {
    return {{"type", "object"},
            {"properties", {{"p", {{"allOf", json::array{reference(next), reference(next)}}}}}}};
  };
  EXPECT_THAT(reason(chain(40, twice)), HasSubstr("every way"));
  json::value nested = {{"type", "string"}};
  for (int i = 0; i < 30; ++i) {
    nested = {{"type", json::array{"object", "object"}}, {"properties", {{"p", nested}}}};
  }
  EXPECT_THAT(reason(nested), HasSubstr("every way"));
}

TEST(SchemaLimits, RefuseDepthNamesAndRepetitionsThatTheConverterCannotTake) {
  const auto property = [](int next) -> json::value {
    return {{"type", "object"}, {"properties", {{"p", reference(next)}}}};
  };
  EXPECT_THAT(reason(chain(2'000, property)), HasSubstr("levels deep"));
  const std::string odd(200'000, '!');
  EXPECT_THAT(reason({{"properties", {{odd, {{"type", "string"}}}}}}), HasSubstr("name"));
  EXPECT_THAT(reason({{"$ref", "#/" + odd}}), HasSubstr("$ref"));
  EXPECT_THAT(reason({{"type", "string"}, {"minLength", 2'001}}), HasSubstr("minLength"));
}

// The work of the converter grows with the third power of what is optional, and with the length of
// all ways; it is done while nothing else is.
TEST(SchemaLimits, RefuseWhatWouldTakeSeconds) {
  json::object many;
  for (int i = 0; i < 4'000; ++i) many["p" + std::to_string(i)] = {{"type", "string"}};
  EXPECT_THAT(reason({{"properties", many}}), HasSubstr("not required"));
  json::array all;
  for (const auto& [name, property] : many) all.emplace_back(name);
  EXPECT_EQ(reason({{"properties", many}, {"required", all}}), "");
  EXPECT_NE(reason({{"properties", many}, {"required", json::array(5'000, "no such one")}}), "");
  const json::value either = {{"properties", many}, {"required", all}};
  EXPECT_NE(reason({{"allOf", json::array{{{"anyOf", json::array{either}}}, either}}}), "");
  json::value nested = {{"properties", many}, {"required", all}};
  for (int i = 0; i < 20; ++i) nested = {{"properties", {{std::string(900, 'n'), nested}}}};
  EXPECT_THAT(reason(nested), HasSubstr("every way"));
}

TEST(SchemaLimits, RefuseWaysThroughAlternativesOneByOne) {
  const auto either = [](int next) -> json::value {
    return {{"anyOf", json::array{reference(next), reference(next)}}};
  };
  json::value ways = chain(40, either);
  ways.get_object()["properties"] = {{"x", reference(0)}};
  ways.get_object().erase("$ref");
  EXPECT_THAT(reason(ways), HasSubstr("every way"));
}

TEST(SchemaLimits, RefuseListsThatMultiply) {
  EXPECT_THAT(reason({{"type", json::array(36'000, "null")}}), HasSubstr("types"));
  json::array values;
  for (int i = 0; i < 4'000; ++i) values.emplace_back(i);
  EXPECT_EQ(reason({{"enum", values}}), "");
  json::object definitions = {{"E", {{"enum", values}}}};
  EXPECT_NE(reason({{"$defs", definitions}, {"allOf", json::array(9, {{"$ref", "#/$defs/E"}})}}),
            "");
  EXPECT_NE(reason({{"type", "string"}, {"pattern", "^" + std::string(9'000, '*') + "$"}}), "");
  json::object patterns;
  for (int i = 0; i < 3'000; ++i) patterns[std::to_string(i)] = {{"pattern", "^a$"}};
  EXPECT_NE(
      reason({{"required", json::array{}},
              {"additionalProperties", {{"anyOf", json::array{{{"properties", patterns}}}}}}}),
      "");
}

TEST(SchemaLimits, CountEachSpellingOfAReference) {
  json::object many;
  for (int i = 0; i < 250; ++i) many["p" + std::to_string(i)] = json::object();
  json::array spellings = {{{"properties", many}}};
  for (int i = 1; i < 30; ++i) {
    spellings.push_back({{"$ref", "#/anyOf/" + std::string(static_cast<size_t>(i), '0')}});
  }
  EXPECT_NE(reason({{"anyOf", spellings}}), "");
}

// All tools of a request become one grammar.
TEST(SchemaLimits, AreOfTheWholeRequest) {
  json::object many;
  for (int i = 0; i < 250; ++i) many["p" + std::to_string(i)] = json::object();
  SchemaBudget budget;
  EXPECT_TRUE(budget.take({{"properties", many}}));
  EXPECT_FALSE(budget.take({{"properties", many}}));
  EXPECT_TRUE(budget.take({{"properties", {{"a", json::object()}}}}));
}

// A class whose base names it: the converter stops at the second reference.
TEST(SchemaLimits, LetABaseNameWhatIsMadeOfIt) {
  const auto tree = json::parse(R"({"allOf":[{"$ref":"#/$defs/Base"},{"type":"object"}],"$defs":{
      "Base":{"type":"object","properties":{"parent":{"$ref":"#/$defs/Node"}}},
      "Node":{"allOf":[{"$ref":"#/$defs/Base"},{"type":"object","properties":{"n":{}}}]}}})");
  EXPECT_EQ(reason(tree), "");
  EXPECT_TRUE(grammar_of(tree));
}

// What passes is converted without an end of the stack: the deepest there is.
TEST(SchemaLimits, LetTheConverterGoAsDeepAsItCan) {
  const auto property = [](int next) -> json::value {
    return {{"type", "object"}, {"properties", {{"p", reference(next)}}}};
  };
  int length = 520;  // Each is four levels of JSON.
  while (!reason(chain(length, property)).empty()) --length;
  EXPECT_GT(length, 400);
  const auto deepest = grammar_of(chain(length, property));
  EXPECT_TRUE(deepest) << deepest.error().what;
  const auto all_of = [](int next) -> json::value {
    return {{"allOf", json::array{reference(next), {{"type", "object"}}}}};
  };
  EXPECT_EQ(reason(chain(300, all_of)), "");
  EXPECT_TRUE(grammar_of(chain(300, all_of)));
}

// As Pydantic writes a member that may be another one of its own kind.
TEST(SchemaLimits, AnAllOfOfOneReferenceIsThatReference) {
  const auto tree = json::parse(R"({"$ref":"#/$defs/Node","$defs":{"Node":{"type":"object",
      "properties":{"name":{"type":"string"},
          "parent":{"allOf":[{"$ref":"#/$defs/Node"}],"description":"if any"}},
      "required":["name"]}}})");
  EXPECT_NE(reason(tree), "");
  EXPECT_EQ(reason(without_single_all_of(tree)), "");
  const auto grammar = grammar_of(tree);
  ASSERT_TRUE(grammar) << grammar.error().what;
  EXPECT_THAT(*grammar, HasSubstr("parent"));
}

}  // namespace
}  // namespace om::prompt
