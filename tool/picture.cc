#include "tool/picture.h"

#include "tool/report.h"

#include <cstdio>
#include <fmt/format.h>
#include <fstream>

namespace bulkhead::tool {

std::string xml_text(std::string_view text)
{
	std::string result;
	for (char const c : text)
		if (std::string_view("<>&\"'").find(c) == std::string_view::npos)
			result += c;
		else
			result += fmt::format("&#{};", static_cast<unsigned char>(c));
	return result;
}

int write_picture(std::string const &path, std::string_view text)
{
	if (path.empty()) {
		fmt::print("{}", text);
		return static_cast<int>(Exit::OK);
	}
	std::ofstream file(path, std::ios::binary);
	file << text;
	file.close();
	if (!file) return report({Exit::FAILURE, fmt::format("{}: can't be written", path)});
	return static_cast<int>(Exit::OK);
}

} // namespace bulkhead::tool
