#pragma once

// Services that only move bytes.

#include "sdk/component/env.h"

namespace bulkhead::echo {

/* Copies standard input to standard output. */
class Echo final : public component::Service
{
public:
	Task<int> serve(Job &job, component::Incoming_call const &call) override;
};

/* Reads its input. */
class Discard final : public component::Service
{
public:
	Task<int> serve(Job &job, component::Incoming_call const &call) override;
};

/* Sends as many zeros as its argument says. */
class Source final : public component::Service
{
public:
	Task<int> serve(Job &job, component::Incoming_call const &call) override;
};

/* A number in decimal; false if it is none. */
bool parse(std::string_view text, uint64_t &number);

} // namespace bulkhead::echo
