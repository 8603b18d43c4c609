#include <array>
#include <ctime>

#include "http/server_connection.h"

namespace om::http {

std::string_view DateCache::at(io::WallTime now) {
  static constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed",
                                                    "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const int64_t second =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  if (second == second_) return text_;
  second_ = second;
  const time_t time = second;
  tm parts{};
  gmtime_r(&time, &parts);
  // Not strftime: RFC 9110 wants these names in every locale.
  text_ = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday % 7],
                      parts.tm_mday, kMonths[parts.tm_mon % 12], 1900 + parts.tm_year,
                      parts.tm_hour, parts.tm_min, parts.tm_sec);
  return text_;
}

}  // namespace om::http
