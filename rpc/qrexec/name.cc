#include "rpc/qrexec/name.h"

namespace bulkhead::qrexec {

namespace {

bool allowed(char c, std::string_view also)
{
	bool const alphanumeric =
		(c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
	return alphanumeric || c == '_' || c == '-' || c == '.' || also.find(c) != also.npos;
}

} // namespace

void sanitize(std::span<char> name, std::string_view also_allowed)
{
	for (char &c : name)
		if (!allowed(c, also_allowed)) c = '_';
}

bool clean(std::string_view name, std::string_view also_allowed)
{
	return std::ranges::all_of(name, [&](char c) { return allowed(c, also_allowed); });
}

bool valid_ident(std::string_view ident)
{
	return !ident.empty() && ident.size() < IDENT_BYTES && clean(ident, " ");
}

} // namespace bulkhead::qrexec
