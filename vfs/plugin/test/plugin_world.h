#pragma once

// A world with plugins in it.

#include "vfs/plugin/builtin.h"
#include "vfs/test/fake_config.h"
#include "vfs/test/world.h"

namespace bulkhead::vfs {

struct Recorded_log final : Log_sink
{
	std::vector<std::string> lines{};

	void log(Level level, std::string_view message) override
	{
		lines.push_back(std::string(name_of(level)) + ": " + std::string(message));
	}
};

struct Plugin_world : World
{
	Recorded_log log{};
	Context context{.allocator = heap,
		.executor = executor,
		.calendar = calendar,
		.log = Log(log, Level::DEBUG)};

	Attempt<Made, Config_fault> make(std::string_view plugin, Fake_config const &config)
	{
		return vfs::make(*find_plugin(builtin_plugins(), plugin), config, context);
	}

	/* Attaches what a plugin makes, and its companion. */
	void attach(std::string const &path, std::string_view plugin, Fake_config const &config = {})
	{
		attach(path, make(plugin, config));
	}

	template <typename E>
	void attach(std::string const &path, Attempt<Made, E> made)
	{
		BULKHEAD_ASSERT(made.ok());
		must(tree.attach(path, made.value().node));
		size_t const name = path.rfind('/') + 1;
		std::string const beside = path.substr(0, name) + "." + path.substr(name);
		if (made.value().companion) must(tree.attach(beside, made.value().companion));
	}

	/* What is wrong, as "key: problem; remedy"; "ok" if nothing is. */
	std::string fault(std::string_view plugin, Fake_config const &config)
	{
		auto const made = make(plugin, config);
		if (made.ok()) return "ok";
		Config_fault const f = made.error();
		return std::string(f.key) + ": " + std::string(f.problem) +
			(f.remedy.empty() ? "" : "; " + std::string(f.remedy));
	}
};

} // namespace bulkhead::vfs
