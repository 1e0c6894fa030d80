#include "tool/vchan/hex_dump.h"

#include <algorithm>
#include <ctime>
#include <fmt/format.h>

namespace bulkhead::tool {

void Hex_dump::add(std::span<uint8_t const> bytes, int64_t now_us, std::string &to)
{
	time_t const seconds = static_cast<time_t>(now_us / 1'000'000);
	tm local{};
	localtime_r(&seconds, &local);
	while (!bytes.empty()) {
		std::span<uint8_t const> const line = bytes.first(std::min(bytes.size(), LINE_BYTES));
		fmt::format_to(std::back_inserter(to), "{:02}:{:02}:{:02}.{:06} {} {:08x} ", local.tm_hour,
			local.tm_min, local.tm_sec, now_us % 1'000'000, _direction, _offset);
		for (size_t i = 0; i < LINE_BYTES; i++)
			if (i < line.size())
				fmt::format_to(std::back_inserter(to), "{}{:02x}", i == 8 ? "  " : " ", line[i]);
			else
				to += i == 8 ? "    " : "   ";
		to += "  |";
		for (uint8_t const byte : line)
			to += byte >= ' ' && byte <= '~' ? static_cast<char>(byte) : '.';
		to += "|\n";
		_offset += line.size();
		bytes = bytes.subspan(line.size());
	}
}

int64_t time_of_day_us()
{
	timespec now{};
	clock_gettime(CLOCK_REALTIME, &now);
	return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

} // namespace bulkhead::tool
