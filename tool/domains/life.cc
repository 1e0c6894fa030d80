#include "tool/domains/life.h"

#include "tool/domains/control.h"
#include "tool/domains/refusal.h"
#include "tool/report.h"

#include <cstdio>
#include <fmt/format.h>

namespace bulkhead::tool {

int change_life(Life_options const &options)
{
	auto control = Control::open(options.system);
	if (!control.ok()) return report(control.error());
	auto const done = control.value().ask(options.what, options.domain);
	if (!done.ok()) {
		Trouble trouble = done.error();
		if (!options.domain.empty() && trouble.exit == Exit::FAILURE) {
			trouble.what = fmt::format("{}: {}", options.domain, trouble.what);
			std::optional<Status> const status = status_of(control.value());
			if (status && !status->find(options.domain))
				trouble = no_domain(*status, options.domain);
		}
		return report(trouble);
	}
	if (!done.value().empty()) fmt::print("{}\n", done.value());
	return static_cast<int>(Exit::OK);
}

} // namespace bulkhead::tool
