#include "domain/manifest/names.h"

#include "domain/gate/message.h"

#include <algorithm>

namespace bulkhead::domain {

namespace {

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

} // namespace

bool made_of_name_characters(std::string_view name, std::string_view besides)
{
	return !name.empty() && std::ranges::all_of(name, [&](char c) {
		return letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
			besides.find(c) != std::string_view::npos;
	});
}

std::string_view fault_of_name(std::string_view name)
{
	if (name.empty()) return "is empty";
	if (name.size() > NAME_MAX_BYTES) return "is longer than 31 characters";
	if (!made_of_name_characters(name)) return "has a character that no name has";
	if (!letter(name.front())) return "doesn't begin with a letter";
	return {};
}

} // namespace bulkhead::domain
