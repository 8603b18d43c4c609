// What libraries leave to their users to compile, compiled once: Asio itself
// (BOOST_ASIO_SEPARATE_COMPILATION), and of fmt what pch/lower.h keeps out of other files.
#include <fmt/format.h>

#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>

template void fmt::detail::vformat_to<char>(fmt::detail::buffer<char>&,
                                            fmt::basic_string_view<char>,
                                            fmt::basic_format_args<fmt::buffer_context<char>>,
                                            fmt::detail::locale_ref);
