// Stands in for the asynchronous copies of cooperative groups: the group's threads copy, each its part, at
// once; wait() still waits for the group, so that reading before it is the error that it is on a GPU.
#pragma once

#include <cooperative_groups.h>

#include <cstring>

namespace cooperative_groups {

template <class Group>
void memcpy_async(const Group& group, void* to, const void* from, std::size_t bytes) {
  for (std::size_t i = group.thread_rank(); i < bytes; i += group.size())
    static_cast<unsigned char*>(to)[i] = static_cast<const unsigned char*>(from)[i];
}
template <class Group, class T>
void memcpy_async(const Group& group, T* to, std::size_t capacity, const T* from, std::size_t count) {
  memcpy_async(group, static_cast<void*>(to), static_cast<const void*>(from),
               (count < capacity ? count : capacity) * sizeof(T));
}
template <class Group>
void wait(const Group& group, std::source_location site = std::source_location::current()) {
  group.sync(site);
}
template <unsigned Stages, class Group>
void wait_prior(const Group& group, std::source_location site = std::source_location::current()) {
  group.sync(site);
}

}  // namespace cooperative_groups
