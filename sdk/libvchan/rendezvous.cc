#include "sdk/libvchan/rendezvous.h"

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace bulkhead::sdk {
namespace {

// Sets `number` and `text`, and is what `open_transport` returns then.
std::unique_ptr<Transport> failed(int &error, std::string &why, int number, std::string text)
{
	error = number;
	why = std::move(text);
	return nullptr;
}

// -1 if it is none.
int domain_id(std::string_view text)
{
	int id = -1;
	auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
	return error == std::errc{} && end == text.data() + text.size() ? id : -1;
}

char const *setting(char const *variable)
{
	char const *const value = getenv(variable);
	return value && *value ? value : nullptr;
}

} // namespace

std::string_view transport_name(char const *name)
{
	if (name && *name) return name;
	if (char const *const chosen = setting("BULKHEAD_VCHAN")) return chosen;
	return setting("VCHAN_SOCKET_DIR") && !setting("BULKHEAD_VCHAN_DIR") ? "socket" : "shm";
}

std::unique_ptr<Transport> open_transport(
	char const *name, Wanted wanted, int &error, std::string &why)
{
	std::string_view const transport = transport_name(name);
	if (wanted.peer < 0) return failed(error, why, EINVAL, "a domain id is 0 or above");
	if (wanted.port < 0) return failed(error, why, EINVAL, "a port is 0 or above");
	if (wanted.own == OWN_FROM_ENVIRONMENT) {
		char const *const own = getenv("VCHAN_DOMAIN");
		if (!own)
			return failed(error, why, EDESTADDRREQ,
				"who this is isn't known: set VCHAN_DOMAIN to the id of this domain");
		wanted.own = domain_id(own);
		if (wanted.own < 0)
			return failed(error, why, EDESTADDRREQ,
				"VCHAN_DOMAIN is \"" + std::string(own) +
					"\": it has to be a domain id, 0 or above");
	}
	if (wanted.own < 0) return failed(error, why, EINVAL, "the own domain id is 0 or above");
	if (wanted.own == wanted.peer && !wanted.within_domain)
		return failed(error, why, ELOOP,
			"domain " + std::to_string(wanted.own) + " can have no channel to itself");

	if (transport == "shm") return open_shm(wanted, error, why);
	if (transport == "socket") return open_socket(wanted, error, why);
	if (transport == "guest")
		return failed(error, why, EOPNOTSUPP, "the transport guest comes with virtual machines");
	return failed(error, why, EPROTONOSUPPORT,
		"there is no transport \"" + std::string(transport) + "\"; there are shm and socket");
}

} // namespace bulkhead::sdk
