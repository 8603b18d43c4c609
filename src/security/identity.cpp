#include "security/identity.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace om::security {
namespace {

constexpr uint64_t kFileBytesMax = 64 * 1024;
constexpr std::chrono::hours kLookAgainMax{24};
constexpr std::chrono::hours kRetryMax{1};
constexpr std::chrono::minutes kRetryMin{1};
constexpr std::string_view kKeyBegins = "-----BEGIN PRIVATE KEY-----";

// Leaves nothing in `text`.
Secret take_secret(std::string&& text) {
  Secret secret(text);
  OPENSSL_cleanse(text.data(), text.size());
  return secret;
}

Secret with_key(std::string text, const Secret& key) {
  text.reserve(text.size() + key.reveal().size());  // Growing would leave half a key behind.
  text += key.reveal();
  return take_secret(std::move(text));
}

// More often the nearer the end is.
io::Duration retry_after(io::Duration left) {
  return std::clamp<io::Duration>(left / 24, kRetryMin, kRetryMax);
}

bool is_older(std::string_view serial, std::string_view other) {
  return serial.size() != other.size() ? serial.size() < other.size() : serial < other;
}

}  // namespace

Result<void> IdentityStore::prepare_directory() {
  TRY_VOID(files_.make_directories(directory_));
  // Before a key is in it: a file is readable for a moment between its making and its set_mode().
  return files_.set_mode(directory_, 0700);
}

Result<void> IdentityStore::write_secret(const io::Path& path, const Secret& text) {
  // One name: what a crash left behind is overwritten, not kept with a key in it.
  const io::Path temporary = path + ".new";
  if (files_.exists(temporary)) TRY_VOID(files_.remove(temporary));
  auto written = [&]() -> Result<void> {
    TRY(auto file, files_.open(temporary, io::Filesystem::Open::create_new));
    TRY_VOID(files_.set_mode(temporary, 0600));
    TRY_VOID(file->write_at(0, text.reveal()));
    TRY_VOID(file->sync());
    file.reset();
    TRY_VOID(files_.rename(temporary, path));
    return files_.sync_directory(directory_);
  }();
  if (!written) (void)files_.remove(temporary);  // The first error is the one to tell.
  return written;
}

Result<Identity> IdentityStore::load() {
  Identity identity;
  TRY(std::string node, files_.read_file(node_file(), kFileBytesMax));
  const size_t key = node.find(kKeyBegins);
  if (key == std::string::npos) return fail(Errc::corrupt, "{}: no key in it", node_file());
  identity.certificate = node.substr(0, key);
  identity.key = take_secret(node.substr(key));
  OPENSSL_cleanse(node.data(), node.size());
  auto authorities = files_.read_file(authorities_file(), kFileBytesMax);
  // node.pem is written last: with it the others were there.
  if (!authorities) return fail(Errc::corrupt, "{}", authorities.error().what);
  identity.authorities = std::move(*authorities);
  const auto read = [&]() -> Result<void> {
    TRY(identity.facts, read_certificate(identity.certificate));
    return check_key_pair(identity.certificate, identity.key);
  }();
  if (!read) return fail(annotate(read.error(), node_file()));
  if (const auto name = check_node_name(identity.name()); !name) {
    return fail(Errc::corrupt, "{}: {}", node_file(), name.error().what);
  }
  return identity;
}

Result<void> IdentityStore::save(std::string_view authorities, std::string_view certificate,
                                 const Secret& key, io::WallTime now) {
  TRY_VOID(verify_certificate(certificate, authorities, now));
  TRY_VOID(check_key_pair(certificate, key));
  TRY(const auto facts, read_certificate(certificate));
  TRY_VOID(check_node_name(facts.name));
  TRY_VOID(prepare_directory());
  TRY_VOID(files_.write_file(authorities_file(), authorities));
  // With the authority, so that who knows only its pin can follow the chain to it.
  std::string text = std::string(certificate);
  if (!text.contains(authorities)) text += authorities;
  return write_secret(node_file(), with_key(std::move(text), key));
}

Result<CertificateRequest> IdentityStore::join_request(const std::string& token_id,
                                                       std::string_view node_name) {
  const io::Path path = io::join(directory_, token_id + ".pem");
  if (auto text = files_.read_file(path, kFileBytesMax)) {
    const size_t key = text->find(kKeyBegins);
    if (key != std::string::npos) {
      CertificateRequest kept{take_secret(text->substr(key)), text->substr(0, key)};
      OPENSSL_cleanse(text->data(), text->size());
      const auto name = requested_name(kept.request);
      if (name && *name == node_name) return kept;
    }
  }
  TRY(CertificateRequest made, make_certificate_request(node_name));
  TRY_VOID(prepare_directory());
  TRY_VOID(write_secret(path, with_key(made.request, made.key)));
  return made;
}

Result<Authority> IdentityStore::load_authority() {
  Authority authority;
  TRY(std::string key, files_.read_file(authority_key_file(), kFileBytesMax));
  authority.key = take_secret(std::move(key));
  TRY(authority.certificate, files_.read_file(authorities_file(), kFileBytesMax));
  const auto fits = check_key_pair(authority.certificate, authority.key);
  if (!fits) return fail(annotate(fits.error(), authority_key_file()));
  return authority;
}

Result<void> IdentityStore::save_authority(const Authority& authority) {
  TRY_VOID(check_key_pair(authority.certificate, authority.key));
  TRY_VOID(prepare_directory());
  return write_secret(authority_key_file(), authority.key);
}

Result<void> IdentityStore::forget_authority() {
  if (!files_.exists(authority_key_file())) return {};
  TRY_VOID(files_.remove(authority_key_file()));
  return files_.sync_directory(directory_);
}

Result<void> IdentityStore::forget() {
  if (!files_.exists(directory_)) return {};
  TRY_VOID(forget_authority());
  for (const io::Path& path : {node_file(), authorities_file()}) {
    if (files_.exists(path)) TRY_VOID(files_.remove(path));
  }
  return files_.sync_directory(directory_);
}

std::shared_ptr<const io::Tls> IdentityStore::peer_server() const {
  auto tls = std::make_shared<io::Tls>();
  tls->ca_file = authorities_file();
  tls->certificate_file = tls->key_file = node_file();
  tls->client_certificate = io::ClientCertificate::asked;
  return tls;
}

std::shared_ptr<const io::Tls> IdentityStore::client_of(std::string node_name) const {
  auto tls = std::make_shared<io::Tls>();
  tls->server_name = std::move(node_name);
  tls->ca_file = authorities_file();
  tls->certificate_file = tls->key_file = node_file();
  return tls;
}

std::shared_ptr<const io::Tls> join_client(const Digest& ca_pin) {
  auto tls = std::make_shared<io::Tls>();
  tls->ca_pin = ca_pin;
  return tls;
}

RenewalPlan plan_renewal(const CertificateFacts& facts, std::span<const std::string> addresses,
                         io::WallTime now, io::Duration life) {
  if (now >= facts.not_after) {
    return {RenewalStep::join_again, now + kLookAgainMax,
            "the node's certificate has expired; join the cluster again with a new token"};
  }
  const io::WallTime retry = now + retry_after(facts.not_after - now);
  if (now < facts.not_before) {
    return {RenewalStep::wait, retry,
            "the node's certificate is not valid yet; set this machine's clock"};
  }
  if (needs_renewal(facts, now, life)) {
    return {RenewalStep::renew, retry, "two thirds of the certificate's life are over"};
  }
  for (const std::string& address : addresses) {
    const bool is_named = std::ranges::count(facts.addresses, address) > 0 ||
                          std::ranges::count(facts.dns_names, address) > 0;
    if (!is_named) {
      return {RenewalStep::renew, retry,
              fmt::format("the certificate does not name the address {}", address)};
    }
  }
  return {RenewalStep::wait, std::min(renewal_time(facts, life), now + kLookAgainMax), ""};
}

Result<void> check_peer(std::string_view name, std::string_view serial,
                        const std::string* first_serial) {
  if (name.empty()) return fail(Errc::unauthenticated, "no node certificate was shown");
  if (!first_serial) {
    return fail(Errc::forbidden,
                "node '{}' is not in this cluster (any more); join again with a new token", name);
  }
  if (is_older(serial, *first_serial)) {
    return fail(Errc::forbidden,
                "the certificate is of an earlier node '{}'; join again with a new token", name);
  }
  return {};
}

}  // namespace om::security
