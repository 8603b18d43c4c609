// Coroutine frames come from the thread's FramePool (base/memory/frame_pool.h): counted, bounded
// and trimmed, where Asio itself keeps two idle frames a thread and leaves the others to the heap.
//
// The compiler includes it at the start of every file (cmake/Compiler.cmake): Asio takes the
// specialisations only where they are known before its coroutines, and a program in which one file
// lacks them would free to one memory what it took from another.
#pragma once

#include <boost/asio/detail/thread_info_base.hpp>

#include "base/check.h"
#include "base/memory/frame_pool.h"

namespace boost::asio::detail {

template <>
inline void* thread_info_base::allocate(awaitable_frame_tag, thread_info_base*, std::size_t size,
                                        std::size_t align) {
  CHECK(align <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
  return om::FramePool::of_this_thread().allocate(size);
}

template <>
inline void thread_info_base::deallocate(awaitable_frame_tag, thread_info_base*, void* pointer,
                                         std::size_t size) {
  om::FramePool::of_this_thread().deallocate(pointer, size);
}

}  // namespace boost::asio::detail
