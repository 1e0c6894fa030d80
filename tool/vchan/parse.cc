#include "tool/vchan/parse.h"

#include "sdk/libvchan/vchan.h"

#include <charconv>
#include <cstdint>
#include <fmt/format.h>
#include <limits>
#include <optional>

namespace bulkhead::tool {

namespace {

std::optional<uint64_t> number(std::string_view text, uint64_t max)
{
	uint64_t value = 0;
	auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
	if (error != std::errc{} || end != text.data() + text.size() || value > max) return {};
	return value;
}

std::optional<uint64_t> bytes(std::string_view text)
{
	unsigned shift = 0;
	if (text.ends_with('k') || text.ends_with('K')) shift = 10;
	if (text.ends_with('m') || text.ends_with('M')) shift = 20;
	if (shift) text.remove_suffix(1);
	std::optional<uint64_t> const value = number(text, BULKHEAD_VCHAN_RING_MAX >> shift);
	if (!value) return {};
	return *value << shift;
}

/* Both halves of a text, the second equal to the first if there is none. */
std::pair<std::string_view, std::string_view> halves(std::string_view text, char separator)
{
	size_t const at = text.find(separator);
	if (at == std::string_view::npos) return {text, text};
	return {text.substr(0, at), text.substr(at + 1)};
}

} // namespace

std::string parse_address(std::string_view text, Address &result)
{
	constexpr uint64_t MAX = std::numeric_limits<int>::max();
	size_t const colon = text.find(':');
	std::optional<uint64_t> const domain = number(text.substr(0, colon), MAX);
	std::optional<uint64_t> port = PORT_USUAL;
	if (colon != std::string_view::npos) port = number(text.substr(colon + 1), MAX);
	if (!domain || !port)
		return fmt::format("'{}' is no channel: DOMAIN or DOMAIN:PORT, such as 7:512", text);
	result = {static_cast<int>(*domain), static_cast<int>(*port)};
	return {};
}

std::string parse_sizes(std::string_view text, Ring_sizes &result)
{
	auto const [first, second] = halves(text, ':');
	std::optional<uint64_t> const read = bytes(first), write = bytes(second);
	if (!read || !write || (*read == 0 && *write == 0))
		return fmt::format("'{}' is no size: BYTES or READ:WRITE up to 64M, such as 64k, or 1M:0 "
						   "to read only",
			text);
	result = {*read, *write};
	return {};
}

std::string parse_cpus(std::string_view text, Cpus &result)
{
	constexpr uint64_t MAX = 1023; // as many as cpu_set_t knows
	auto const [first, second] = halves(text, ',');
	std::optional<uint64_t> const one = number(first, MAX), other = number(second, MAX);
	if (!one || !other)
		return fmt::format("'{}' names no CPUs: 0 for both sides, or 0,1 for one each", text);
	result = {static_cast<int>(*one), static_cast<int>(*other)};
	return {};
}

} // namespace bulkhead::tool
