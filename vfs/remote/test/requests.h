#pragma once

// Requests as bytes, for tests of what a server makes of them.

#include "base/bytes.h"

#include <cstring>
#include <linux/fuse.h>
#include <vector>

namespace bulkhead::remote {

template <typename T>
Bytes object(T const &value)
{
	return {reinterpret_cast<uint8_t const *>(&value), sizeof value};
}

inline std::vector<uint8_t> request(
	uint32_t opcode, uint64_t node, Bytes arguments = {}, uint64_t unique = 8)
{
	fuse_in_header header{};
	header.len = static_cast<uint32_t>(sizeof header + arguments.size());
	header.opcode = opcode;
	header.unique = unique;
	header.nodeid = node;
	std::vector<uint8_t> result(header.len);
	std::memcpy(result.data(), &header, sizeof header);
	copy_bytes(std::span(result).subspan(sizeof header), arguments);
	return result;
}

inline std::vector<uint8_t> init_request(
	uint32_t major = FUSE_KERNEL_VERSION, uint32_t minor = FUSE_KERNEL_MINOR_VERSION)
{
	fuse_init_in in{};
	in.major = major;
	in.minor = minor;
	in.flags = FUSE_ASYNC_READ | FUSE_DO_READDIRPLUS | FUSE_BIG_WRITES | FUSE_MAX_PAGES;
	return request(FUSE_INIT, 0, object(in));
}

} // namespace bulkhead::remote
