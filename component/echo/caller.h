#pragma once

// Calls others, and says how long that took.

#include "sdk/component/env.h"

namespace bulkhead::echo {

/* What `bulkhead.Caller` is asked for: TARGET+COUNT+DEPTH+SERVICE. */
struct Order
{
	std::string target{};
	uint64_t count = 0;
	uint64_t depth = 0; // calls at a time
	std::string service{}; // with its argument
};
bool parse(std::string_view text, Order &order);

class Caller final : public component::Service
{
public:
	static constexpr uint64_t DEPTH_MAX = 64;

private:
	struct Run;
	class Worker;

	component::Env &_env;

	Task<int> _serve(Job &job, component::Incoming_call const &call, Order order);

public:
	explicit Caller(component::Env &env) : _env(env) {}

	Task<int> serve(Job &job, component::Incoming_call const &call) override;
};

} // namespace bulkhead::echo
