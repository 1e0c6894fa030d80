#include "tool/policy/command_line.h"

#include "tool/policy/eval.h"

#include <iostream>

namespace bulkhead::tool {

namespace {

constexpr char const *EXAMPLES = R"(Examples:
  bulkhead policy check                               the policy of this machine
  bulkhead policy check policy.d                      that of a directory
  bulkhead policy explain work web qubes.Filecopy     what becomes of a call, and why
  bulkhead policy graph --format svg -o policy.svg    who may call whom
  bulkhead policy eval < calls.jsonl                  a line of JSON for each call

Exit codes: 0 done, 1 failed, 2 command line, 10 the policy has faults.
See bulkhead-policy(1).)";

} // namespace

void Policy_command_line::_describe_sources(CLI::App *command, Policy_options &options)
{
	command->add_option("--compat", options.compat, "Directory that !compat-4.0 reads")
		->capture_default_str();
	command->add_option("--domains", options.domains,
		"JSON of the domains, as qubesd's internal.GetSystemInfo has it");
	command->add_flag("--json", options.json, "For programs");
}

void Policy_command_line::_describe_check()
{
	_check_command =
		_policy->add_subcommand("check", "Tell every fault, and rules that never decide a call");
	_check_command->add_option("directory", _check.policy.directories,
		"Policy directories; of files of one name that of the first counts "
		"(/run/qubes/policy.d /etc/qubes/policy.d)");
	_describe_sources(_check_command, _check.policy);
	_check_command->add_flag("--strict", _check.strict, "Fail for warnings, too");
}

void Policy_command_line::_describe_explain()
{
	_explain_command =
		_policy->add_subcommand("explain", "Say what becomes of a call, by which rule, and why");
	_explain_command->add_option("source", _explain.source, "Who calls")->required();
	_explain_command->add_option("target", _explain.target, "Whom; '' for nobody in particular")
		->required();
	_explain_command->add_option("service", _explain.service, "SERVICE or SERVICE+ARGUMENT")
		->required();
	_explain_command->add_option(
		"--relay", _explain.relay, "Who relays the call, if the source is a RemoteVM");
	_explain_command->add_option("--dir", _explain.policy.directories, "A policy directory");
	_describe_sources(_explain_command, _explain.policy);
}

void Policy_command_line::_describe_graph()
{
	_graph_command = _policy->add_subcommand("graph", "Draw who may call whom");
	_graph_command->add_option("--format", _graph.format, "dot or svg; svg needs nothing else")
		->check(CLI::IsMember({"dot", "svg"}))
		->capture_default_str();
	_graph_command->add_option("-o,--output", _graph.output, "File to write");
	_graph_command->add_option("--service", _graph.services, "Only this service");
	_graph_command->add_option("--source", _graph.sources, "Only calls from this domain");
	_graph_command->add_option("--target", _graph.targets, "Only calls to this target");
	_graph_command->add_flag("--no-ask", _graph.no_ask, "Only what is allowed without asking");
	_graph_command->add_option("--dir", _graph.policy.directories, "A policy directory");
	_describe_sources(_graph_command, _graph.policy);
}

Policy_command_line::Policy_command_line(CLI::App &app)
{
	_policy = app.add_subcommand("policy", "Check, explain and draw who may call what");
	_policy->footer(EXAMPLES);
	_policy->require_subcommand(1);
	_describe_check();
	_describe_explain();
	_describe_graph();
	_eval_command =
		_policy->add_subcommand("eval", "Decide calls that lines of JSON describe, each at once");
}

int Policy_command_line::run()
{
	if (*_check_command) return check_policy(_check);
	if (*_explain_command) return explain_call(_explain);
	if (*_graph_command) return draw_policy(_graph);
	return evaluate_lines(std::cin, std::cout);
}

} // namespace bulkhead::tool
