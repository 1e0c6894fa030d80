#include "tool/domains/command_line.h"

#include "tool/report.h"

#include <algorithm>
#include <fmt/format.h>

namespace bulkhead::tool {

namespace {

constexpr char const *GROUP = "Systems of domains (bulkhead-domains(1))";
constexpr char const *EXITS =
	"Exit codes: 0 done, 1 failed, 2 command line, 8 or 9 the broker has gone or is of another\n"
	"version, 11 no system runs here.";
constexpr char const *MOUNT_EXITS =
	"Exit codes: 0 done, 1 failed, 2 command line, 4 nothing can be mounted there, 8 or 9 the\n"
	"broker has gone or is of another version, 11 no system runs here.";
constexpr char const *CALL_EXITS =
	"Standard input goes to the service, its output and errors come here; or to a local\n"
	"program that follows --.\n"
	"Exit codes: the service's; 125 trouble, 126 refused, also as nobody offers it, 127 the\n"
	"service has no program, 141 nobody reads the output, 255 the other side has gone.";

} // namespace

CLI::App *Domains_command_line::_describe(
	char const *name, char const *text, char const *example, char const *exits)
{
	CLI::App *const command = _app.add_subcommand(name, text);
	command->group(GROUP);
	command->add_option("--system", _system, "Which one, if several run here");
	command->footer(fmt::format("Example: {}\n{}\nSee bulkhead-domains(1).", example, exits));
	return command;
}

void Domains_command_line::_describe_run()
{
	_run_command = _app.add_subcommand("run", "Run the system that a manifest describes");
	_run_command->group(GROUP);
	_run_command->add_option("manifest", _run.manifest, "Manifest of the system")->required();
	_run_command->add_flag("--check", _run.check, "Look for faults and do nothing else");
	_run_command
		->add_option("--ready-fd", _run.ready_fd,
			"File descriptor that a line is written to when the domains run")
		->check(CLI::NonNegativeNumber);
	_run_command->add_option("--run-dir", _run.run_directory,
		"Where the directories of systems are, instead of BULKHEAD_RUN_DIR or the usual place");
	_run_command->add_flag("-v,--verbose", _run.verbose, "Say more");
	_run_command->footer(
		"Exit codes: 0 stopped in order, 1 failed, 2 command line, 3 manifest or policy, 12 this\n"
		"machine can't do it, 13 the system runs already.\n"
		"See bulkhead-domains(1) and bulkhead-system.toml(5).");
}

void Domains_command_line::_describe_call()
{
	_call_command = _describe("call", "Call a service in the operator's name",
		"bulkhead call vault vault.Sign < document > signature", CALL_EXITS);
	_call_command->add_option("target", _call.target, "Domain")->required();
	_call_command->add_option("service", _call.service, "SERVICE or SERVICE+ARGUMENT")->required();
}

void Domains_command_line::_describe_life()
{
	_start_command = _describe("start", "Start a domain", "bulkhead start vault", EXITS);
	_stop_command =
		_describe("stop", "Stop a domain, or all and the broker", "bulkhead stop --all", EXITS);
	_restart_command =
		_describe("restart", "Stop a domain and start it again", "bulkhead restart vault", EXITS);
	for (CLI::App *const command : {_start_command, _restart_command})
		command->add_option("domain", _life.domain, "Domain")->required();
	auto *const domain = _stop_command->add_option("domain", _life.domain, "Domain");
	_stop_command->add_flag("--all", _all, "All, and the broker")->excludes(domain);
	_reload_command = _describe(
		"reload", "Have the broker read manifest and policy again", "bulkhead reload", EXITS);
}

void Domains_command_line::_describe_mount()
{
	_mount_command = _describe("mount", "Mount files that a domain serves, until Ctrl-C",
		"bulkhead mount --read-only tpm dev /mnt", MOUNT_EXITS);
	_mount_command->add_option("domain", _mount.domain, "Domain")->required();
	_mount_command->add_option("name", _mount.name, "What it serves them as")->required();
	_mount_command->add_option("directory", _mount.directory, "Directory to mount at")->required();
	_mount_command->add_flag("--read-only", _mount.read_only, "Nothing can be changed there");
	_mount_command->add_flag("--allow-other", _mount.allow_other, "For other users, too");
}

void Domains_command_line::_describe_shows()
{
	_ps_command = _describe("ps", "List domains and what they have done",
		"bulkhead ps --services vault    what can be called there", EXITS);
	_ps_command->add_flag("--json", _ps.json, "For programs: all that the broker knows");
	_ps_command->add_option("--services", _ps.services_of, "What this domain offers, a line each")
		->type_name("DOMAIN");
	_logs_command =
		_describe("logs", "Print what a domain has written", "bulkhead logs -f -n 20 vault", EXITS);
	_logs_command->add_option("domain", _logs.domain, "Domain")->required();
	_logs_command->add_flag("-f,--follow", _logs.follow, "And what it is going to write");
	_logs_command->add_option("-n,--lines", _logs.lines, "The last lines only");
	_top_command = _describe("top", "Watch domains, live calls and refusals",
		"bulkhead top --once    with the reasons of refusals", EXITS);
	_top_command->add_option("-d,--delay", _top.interval_s, "Seconds between two looks")
		->capture_default_str()
		->check(CLI::Range(0.1, 3600.0));
	_top_command->add_flag("--once", _top.once, "Look once: rates since the broker began");
	_top_command->add_flag("--json", _top.json, "For programs: a line for each look");
	_graph_command = _describe("graph", "Draw domains, live calls and refusals as SVG",
		"bulkhead graph -o system.svg", EXITS);
	_graph_command->add_option("-o,--output", _graph.output, "File to write");
	_graph_command->add_flag("--json", _graph.json, "For programs, instead of a picture");
}

Domains_command_line::Domains_command_line(CLI::App &app) : _app(app)
{
	_describe_run();
	_describe_shows();
	_describe_call();
	_describe_life();
	_describe_mount();
}

void Domains_command_line::take_command(std::vector<std::string> &arguments)
{
	auto const mark = std::ranges::find(arguments, "--");
	bool const ours = !arguments.empty() && arguments[0] == "call";
	if (!ours || mark == arguments.end()) return;
	_call.program.assign(mark + 1, arguments.end());
	arguments.erase(mark, arguments.end());
}

Domains_command_line::operator bool() const
{
	return std::ranges::any_of(
		std::initializer_list<CLI::App *>{_run_command, _ps_command, _call_command, _logs_command,
			_start_command, _stop_command, _restart_command, _reload_command, _mount_command,
			_top_command, _graph_command},
		[](CLI::App const *command) { return command->parsed(); });
}

int Domains_command_line::_change_life()
{
	using domain::Admin;
	_life.system = _system;
	_life.what = *_start_command ? Admin::START
		: *_restart_command      ? Admin::RESTART
		: *_reload_command       ? Admin::RELOAD
		: _all                   ? Admin::SHUT_DOWN
								 : Admin::STOP;
	if (_life.what == Admin::STOP && _life.domain.empty())
		return report({Exit::USAGE, "stop: which domain is missing",
			"bulkhead stop DOMAIN, or bulkhead stop --all"});
	return change_life(_life);
}

int Domains_command_line::run()
{
	_ps.system = _call.system = _logs.system = _mount.system = _top.system = _graph.system =
		_system;
	if (*_run_command) return run_system(_run);
	if (*_ps_command) return show_domains(_ps);
	if (*_call_command) return call_service(_call);
	if (*_logs_command) return show_logs(_logs);
	if (*_mount_command) return mount_files(_mount);
	if (*_top_command) return watch_domains(_top);
	if (*_graph_command) return draw_composition(_graph);
	return _change_life();
}

} // namespace bulkhead::tool
