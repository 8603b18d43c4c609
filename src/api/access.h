// Which hosts and web pages may talk to this node. Pure decisions; on any thread.
//
// A browser lets any page send requests to 127.0.0.1. The Origin header names the page; the Host
// header tells whether a foreign name was made to point at this machine (DNS rebinding).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace om::api {

class AccessRules {
 public:
  // `origins` are added to Ollama's own list; each may hold one "*" for any text. `own_names`: this
  // machine's names and addresses.
  AccessRules(bool check_host, std::vector<std::string> own_names,
              std::vector<std::string> origins);

  // names_this_machine(), or true if hosts are not checked.
  bool host_allowed(std::string_view host) const;
  // Empty, localhost, an own name, *.localhost, *.local, *.internal, or an address that is
  // loopback, private, unspecified or own: a foreign page cannot make such a name point here.
  bool names_this_machine(std::string_view host) const;

  enum class Origin { none, same, allowed, refused };
  Origin judge_origin(std::string_view origin, std::string_view host) const;

 private:
  bool check_host_;
  std::vector<std::string> own_names_;
  std::vector<std::string> origins_;
};

// Whether a proxy passed the request on, so that the sender is not the machine that connects. Not
// every proxy says so.
bool came_through_a_proxy(const http::Headers& headers);

// Headers for an allowed foreign page.
void add_origin_headers(http::Headers& headers, std::string_view origin);
// Further headers for its preflight (OPTIONS) requests.
void add_preflight_headers(http::Headers& headers);

}  // namespace om::api
