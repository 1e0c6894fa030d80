#include "tool/domains/table.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace bulkhead::tool {

std::string Table::text() const
{
	std::vector<size_t> widths;
	for (size_t i = 0; i < _columns.size(); ++i) {
		size_t width = _columns[i].title.size();
		for (auto const &row : _rows) width = std::max(width, row[i].size());
		widths.push_back(width);
	}
	std::string result;
	auto const write = [&](auto const &cell_of) {
		std::string line;
		for (size_t i = 0; i < _columns.size(); ++i)
			line += _columns[i].side == Side::LEFT ? fmt::format("{:<{}}  ", cell_of(i), widths[i])
												   : fmt::format("{:>{}}  ", cell_of(i), widths[i]);
		line.erase(line.find_last_not_of(' ') + 1);
		result += line + "\n";
	};
	write([&](size_t i) { return _columns[i].title; });
	for (auto const &row : _rows) write([&](size_t i) { return row[i]; });
	return result;
}

std::string duration_text(uint64_t us)
{
	uint64_t const s = us / 1'000'000;
	if (s < 120) return fmt::format("{} s", s);
	if (s < 120 * 60) return fmt::format("{} min", s / 60);
	if (s < 48 * 3600) return fmt::format("{} h", s / 3600);
	return fmt::format("{} d", s / (24 * 3600));
}

std::string size_text(uint64_t bytes)
{
	if (bytes < 1024) return fmt::format("{} B", bytes);
	constexpr std::array UNITS = {"KiB", "MiB", "GiB", "TiB"};
	double size = static_cast<double>(bytes) / 1024;
	size_t unit = 0;
	for (; size >= 1000 && unit + 1 < UNITS.size(); ++unit) size /= 1024;
	return fmt::format("{:.{}f} {}", size, size < 10 ? 1 : 0, UNITS[unit]);
}

} // namespace bulkhead::tool
