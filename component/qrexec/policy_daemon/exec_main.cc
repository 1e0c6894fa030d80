#include "component/qrexec/policy_daemon/programs.h"

int main(int argc, char **argv)
{
	using namespace bulkhead::qrexec;
	auto parsed = parse_exec_options(argc, argv);
	if (auto const *const exit = std::get_if<Exit_code>(&parsed)) return exit->code;
	return run_policy_exec(std::move(std::get<Exec_options>(parsed)));
}
