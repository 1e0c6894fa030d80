// The `bulkhead` command: reads the command line; what it does is elsewhere.

#include "sdk/host_system/manifest.h"
#include "tool/completion.h"
#include "tool/doctor.h"
#include "tool/domains/command_line.h"
#include "tool/outcome.h"
#include "tool/policy/command_line.h"
#include "tool/serve.h"
#include "tool/show.h"
#include "tool/vchan/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>

namespace bulkhead::tool {

namespace {

constexpr char const *EXAMPLES = R"(Examples:
  bulkhead doctor                              what this machine offers
  bulkhead serve tpm.toml --mount /run/tree    serve in the foreground, until Ctrl-C
  bulkhead serve --check tpm.toml              look for faults only
  bulkhead tree tpm.toml                       what would be served
  bulkhead stat /run/tree/dev/tpm0             what a file is; for a device its counters
  bulkhead vchan connect 7 --domain 1          a channel to domain 7, as domain 1
  bulkhead policy check                        who may call what: faults and remedies
  bulkhead run system.toml                     run a system of domains
  bulkhead call vault vault.Sign < document    call a service of one of them
  tpm2_getrandom -T device:/run/tree/dev/tpm0 8 --hex

Exit codes: 0 done, 1 failed, 2 command line, 3 manifest, 4 mount point, 5 FUSE, 6 bus or device;
of vchan: 7 not connected, 8 the other side died, 9 it broke the protocol;
of policy: 10 the policy has faults; of domains: 11 no system runs here.
See bulkhead(1), bulkhead-domains(1), bulkhead-policy(1), bulkhead-vchan(1), bulkhead.toml(5)
and bulkhead-system.toml(5).)";

class Command_line
{
private:
	CLI::App _app{"Drivers, services and virtual machines as compartments: devices and files\n"
				  "from a manifest, served to programs",
		"bulkhead"};
	Serve_options _serve{};
	Tree_options _tree{};
	Stat_options _stat{};
	bool _doctor_json = false;
	std::string _shell{};
	std::vector<std::string> _stat_arguments{};

	CLI::App *_serve_command = nullptr;
	CLI::App *_tree_command = nullptr;
	CLI::App *_stat_command = nullptr;
	CLI::App *_doctor_command = nullptr;
	CLI::App *_completion_command = nullptr;
	std::optional<Policy_command_line> _policy{};
	std::optional<Vchan_command_line> _vchan{};
	std::optional<Domains_command_line> _domains{};

	void _describe_serve()
	{
		_serve_command = _app.add_subcommand("serve", "Mount and serve what a manifest describes");
		_serve_command->add_option("manifest", _serve.manifest, "Manifest to serve")->required();
		_serve_command->add_option(
			"-m,--mount", _serve.mount, "Directory to mount at, instead of the manifest's");
		_serve_command->add_flag(
			"--check", _serve.check, "Look for faults of the manifest and do nothing else");
		_serve_command->add_option("--ready-fd", _serve.ready_fd,
			"File descriptor that a line is written to when all is served");
		_serve_command->add_flag("-v,--verbose", _serve.verbose, "Say more");
	}

	void _describe_others()
	{
		_tree_command =
			_app.add_subcommand("tree", "Show the tree of a manifest or of a directory");
		_tree_command->add_option("of", _tree.of, "Manifest, or directory")->required();
		_tree_command->add_option("--depth", _tree.depth, "How deep to look into a directory")
			->capture_default_str();
		_tree_command->add_flag("--json", _tree.json, "For programs");
		_stat_command = _app.add_subcommand("stat", "Say what a file is, and how its device fares");
		_stat_command
			->add_option("path", _stat_arguments,
				"Path of a mounted file; or a manifest and a path in its tree")
			->required()
			->expected(1, 2);
		_stat_command->add_flag("--json", _stat.json, "For programs");
		_doctor_command = _app.add_subcommand(
			"doctor", "Say what this machine offers, and what to do about the rest");
		_doctor_command->add_flag("--json", _doctor_json, "For programs");
		_completion_command =
			_app.add_subcommand("completion", "Print what a shell needs to complete this command");
		_completion_command->add_option("shell", _shell, "bash or zsh")
			->required()
			->check(CLI::IsMember({"bash", "zsh"}));
	}

	/* What the library says of a command that there isn't is that one is required. */
	bool _explain_unknown_command() const
	{
		std::vector<std::string> const unknown = _app.remaining();
		if (unknown.empty() || !_app.get_subcommands().empty()) return false;
		std::vector<vfs::Key> known;
		for (CLI::App const *const command : _app.get_subcommands(nullptr))
			known.push_back({command->get_name(), vfs::Kind::TEXT, ""});
		fprintf(stderr, "bulkhead: there is no command '%s'; %s\n", unknown[0].c_str(),
			host_system::suggestion(unknown[0], known).c_str());
		return true;
	}

	int _run_stat()
	{
		_stat.path = _stat_arguments.back();
		if (_stat_arguments.size() == 2) _stat.manifest = _stat_arguments.front();
		return show_stat(_stat);
	}

public:
	Command_line()
	{
		_app.set_version_flag("--version", "bulkhead " BULKHEAD_VERSION);
		_app.footer(EXAMPLES);
		_app.require_subcommand(1);
		_domains.emplace(_app);
		_describe_serve();
		_vchan.emplace(_app);
		_policy.emplace(_app);
		_describe_others();
	}

	/* Throws what CLI11 and the C++ library throw. */
	int run(int count, char **arguments)
	{
		try {
			std::vector<std::string> words(arguments + std::min(count, 1), arguments + count);
			_vchan->take_command(words);
			_domains->take_command(words);
			// The library takes them from the end.
			std::ranges::reverse(words);
			_app.parse(std::move(words));
		} catch (CLI::ParseError const &error) {
			if (error.get_exit_code() != 0 && _explain_unknown_command())
				return static_cast<int>(Exit::USAGE);
			return static_cast<int>(_app.exit(error) == 0 ? Exit::OK : Exit::USAGE);
		}
		if (*_domains) return _domains->run();
		if (*_serve_command) return serve(_serve);
		if (*_tree_command) return show_tree(_tree);
		if (*_stat_command) return _run_stat();
		if (*_doctor_command) return doctor(_doctor_json);
		if (*_vchan) return _vchan->run();
		if (*_policy) return _policy->run();
		return print_completion(_shell);
	}
};

/* The exit code; a failure if what was printed can't be written. */
int exit_code_of(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout)) return code;
	fprintf(stderr, "bulkhead: standard output can't be written: %s\n", strerror(errno));
	return code ? code : static_cast<int>(Exit::FAILURE);
}

} // namespace

} // namespace bulkhead::tool

int main(int count, char **arguments)
{
	// The one place where exceptions of libraries arrive.
	try {
		return bulkhead::tool::exit_code_of(bulkhead::tool::Command_line().run(count, arguments));
	} catch (std::exception const &exception) {
		fprintf(stderr, "bulkhead: %s\n", exception.what());
		return static_cast<int>(bulkhead::tool::Exit::FAILURE);
	}
}
