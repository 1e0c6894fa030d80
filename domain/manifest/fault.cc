#include "domain/manifest/fault.h"

#include <algorithm>
#include <tuple>

namespace bulkhead::domain {

namespace {

constexpr size_t MESSAGE_MAX = 1024;

/* The number of a line, right-aligned to five places. */
std::string margin(unsigned line)
{
	std::string number = std::to_string(line);
	number.insert(0, number.size() < 5 ? 5 - number.size() : 0, ' ');
	return number + " | ";
}

} // namespace

std::string printable(std::string_view text, size_t size_max)
{
	std::string result;
	for (char const c : text.substr(0, size_max)) {
		unsigned char const byte = static_cast<unsigned char>(c);
		result += byte < ' ' || byte == 0x7f ? (c == '\t' ? '\t' : '?') : c;
	}
	return result;
}

std::string describe(std::string_view path, std::string_view text, Fault const &fault)
{
	std::string result(path);
	if (fault.at.line)
		result += ":" + std::to_string(fault.at.line) + ":" + std::to_string(fault.at.column);
	// Whoever found the fault may have put names and values of the text into it.
	result += ": " + printable(fault.problem, MESSAGE_MAX);
	if (!fault.remedy.empty()) result += "; " + printable(fault.remedy, MESSAGE_MAX);
	result += '\n';
	if (!fault.at.line) return result;
	std::string_view rest = text;
	for (unsigned line = 1; line < fault.at.line && !rest.empty(); ++line)
		rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
	std::string const shown = printable(rest.substr(0, rest.find('\n')));
	std::string mark;
	// The column counts characters, of which the continuing bytes are no part.
	unsigned column = 1;
	for (char const c : shown) {
		if (column >= fault.at.column) break;
		if ((c & 0xc0) == 0x80) continue;
		mark += c == '\t' ? '\t' : ' ';
		++column;
	}
	return result + margin(fault.at.line) + shown + "\n      | " + mark + "^\n";
}

std::string describe_faults(
	std::string_view path, std::string_view text, std::vector<Fault> const &faults)
{
	std::vector<Fault const *> ordered;
	for (Fault const &fault : faults) ordered.push_back(&fault);
	std::ranges::sort(ordered, [](Fault const *a, Fault const *b) {
		return std::tuple(a->at.line, a->at.column, a) < std::tuple(b->at.line, b->at.column, b);
	});
	std::string result;
	for (Fault const *const fault : ordered) result += describe(path, text, *fault);
	return result;
}

} // namespace bulkhead::domain
