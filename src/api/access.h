// Which hosts and web pages may talk to this node. Pure decisions; on any thread.
//
// A browser lets any page send requests to 127.0.0.1. The Origin header tells which page it was;
// the Host header tells whether a foreign name was made to point at us (DNS rebinding).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace om::api {

class AccessRules {
 public:
  // `origins` may hold one "*" each, for any text; they are added to Ollama's own list. `own_names`
  // are this machine's names and addresses.
  AccessRules(bool check_host, std::vector<std::string> own_names,
              std::vector<std::string> origins);

  // Always true when hosts are not checked, else as names_this_machine().
  bool host_allowed(std::string_view host) const;
  // Empty, localhost, an own name, *.localhost, *.local, *.internal, or an address that is
  // loopback, private, unspecified or own: no name that a foreign page could have made to point
  // here.
  bool names_this_machine(std::string_view host) const;

  enum class Origin { none, same, allowed, refused };
  Origin judge_origin(std::string_view origin, std::string_view host) const;

 private:
  bool check_host_;
  std::vector<std::string> own_names_;
  std::vector<std::string> origins_;
};

// Somebody else's request, which a proxy hands on: whoever connects is not whoever asks. Not every
// proxy says so.
bool came_through_a_proxy(const http::Headers& headers);

// What an allowed foreign page is told.
void add_origin_headers(http::Headers& headers, std::string_view origin);
// In addition, for OPTIONS requests that ask beforehand.
void add_preflight_headers(http::Headers& headers);

}  // namespace om::api
