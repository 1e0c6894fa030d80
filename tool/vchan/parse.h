#pragma once

// What the command line says of a channel: who is on the other side, how large its rings are, on
// which CPUs to run.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace bulkhead::tool {

inline constexpr int PORT_USUAL = 512;

/* The domain on the other side, and which of the channels to it. */
struct Address
{
	int domain = 0;
	int port = PORT_USUAL;

	std::string text() const { return std::to_string(domain) + ":" + std::to_string(port); }
};

/* Bytes of the rings that a server reads and writes. */
struct Ring_sizes
{
	size_t read = 65536;
	size_t write = 65536;
};

/* CPUs of the two sides of a measurement; -1: as the kernel likes. */
using Cpus = std::array<int, 2>;

/* Each returns what is wrong with the text, or nothing and sets the result. */

/* DOMAIN or DOMAIN:PORT. */
std::string parse_address(std::string_view, Address &);

/* BYTES both ways, or READ:WRITE, one of which may be 0; with k or M behind a number. */
std::string parse_sizes(std::string_view, Ring_sizes &);

/* CPU of both sides, or CPU,CPU. */
std::string parse_cpus(std::string_view, Cpus &);

} // namespace bulkhead::tool
