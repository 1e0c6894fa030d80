#pragma once

// Says on standard error what becomes of a channel: in words if one wants to know, or a line of
// JSON for each event. What has gone wrong is always told.

#include "tool/vchan/channel.h"
#include "tool/vchan/pump.h"

namespace bulkhead::tool {

class Narrator
{
public:
	enum class Form { TROUBLE_ONLY, TEXT, JSON };

private:
	Form const _form;
	Channel_options const &_options;

public:
	Narrator(Form form, Channel_options const &options) : _form(form), _options(options) {}

	/* It listens, or looks for the server. */
	void waiting() const;

	/* The other side is there. */
	void connected(Bulkhead_vchan *) const;

	/* It was not to be. Returns the exit code. */
	int failed(Trouble const &) const;

	/* Both have ended. Returns the exit code. */
	int ended(Bulkhead_vchan *, Pump const &, Ending, Interrupt const &) const;

	/* A command has ended with this exit code. */
	void command_ended(int code) const;
};

} // namespace bulkhead::tool
