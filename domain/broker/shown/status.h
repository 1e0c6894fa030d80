#pragma once

// What the operator sees of a running system, as JSON (doc/domains.md).

#include "domain/broker/broker.h"

#include <string>

namespace bulkhead::domain {

/* What the host knows. */
class Status_facts
{
protected:
	~Status_facts() = default;

public:
	struct Process
	{
		int64_t pid = 0; // 0: none
		std::string log{}; // path, or empty
		uint64_t memory_bytes = 0;
	};

	int64_t pid = 0;
	std::string manifest{};
	std::string logs{};
	std::string policy{};
	uint64_t since_us = 0;
	std::vector<std::string> weaker{}; // what the kernel can't do, and was permitted

	virtual Process process_of(Party domain) const = 0;
};

void write_status(std::string &to, Broker const &broker, Status_facts const &facts);

} // namespace bulkhead::domain
