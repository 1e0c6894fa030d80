#pragma once

// How an agent hands a call to a fork server, as upstream's programs do: four numbers in the
// machine's own order, and the command line without its user.

#include "component/qrexec/agent/service_request.h"

#include <optional>

namespace bulkhead::qrexec {

/* The message for a request, whose line begins with a user. */
std::string handover_of(Service_request const &request);

/* Takes the message apart as its bytes come. */
class Handover_reader
{
public:
	static constexpr size_t HEAD_BYTES = 16;

	enum class Outcome : uint8_t { MORE, WHOLE, WRONG };

private:
	std::string _bytes{};

	uint32_t _number(size_t index) const;

public:
	/* How many bytes may come before it is looked at again. */
	size_t wanted() const;

	/* At most as many as that. WRONG: what no agent sends; it stays so. */
	Outcome add(std::string_view bytes);

	/* Once WHOLE. */
	std::unique_ptr<Service_request> request() const;
};

} // namespace bulkhead::qrexec
