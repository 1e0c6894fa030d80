#include "tool/domains/show.h"

#include "tool/domains/control.h"
#include "tool/domains/refusal.h"
#include "tool/domains/table.h"
#include "tool/report.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <thread>
#include <unistd.h>

namespace bulkhead::tool {

namespace {

using Side = Table::Side;

constexpr size_t CALLS_SHOWN = 20;
constexpr size_t REFUSALS_SHOWN = 10;
constexpr std::string_view CLEAR = "\x1b[H\x1b[2J";
constexpr auto LOOK_AGAIN = std::chrono::milliseconds(250);
constexpr unsigned LOOKS_MAX = 20;

uint64_t since(Status const &status, uint64_t then_us)
{
	return status.now_us > then_us ? status.now_us - then_us : 0;
}

std::string heading_of(Status const &status)
{
	uint64_t const running = static_cast<uint64_t>(
		std::ranges::count_if(status.domains, [](auto const &domain) { return domain.running(); }));
	return fmt::format("{}: {} of {} domains run; broker {}, for {}\n", status.system, running,
		status.domains.size(), status.pid, duration_text(since(status, status.since_us)));
}

std::string weaker_text(Status const &status)
{
	if (status.weaker.empty()) return {};
	return fmt::format(
		"weaker here, as the manifest permits: {}\n", fmt::join(status.weaker, ", "));
}

std::string pid_text(Domain_status const &domain)
{
	return domain.pid ? std::to_string(domain.pid) : "-";
}

std::string memory_text(Domain_status const &domain)
{
	return domain.memory_bytes ? size_text(domain.memory_bytes) : "-";
}

/* What a counter has grown by in a second. */
class Rates
{
private:
	Status const *_before;
	double _seconds;

public:
	Rates(Status const &status, Status const *before)
		: _before(before && before->pid == status.pid ? before : nullptr),
		  _seconds(
			  static_cast<double>(since(status, _before ? _before->now_us : status.since_us)) / 1e6)
	{}

	double of(Domain_status const &domain, uint64_t Domain_status::*counter) const
	{
		Domain_status const *const then = _before ? _before->find(domain.name) : nullptr;
		uint64_t const base = then ? then->*counter : 0;
		if (_seconds <= 0 || domain.*counter < base) return 0;
		return static_cast<double>(domain.*counter - base) / _seconds;
	}
};

std::string rate_text(double rate)
{
	return rate >= 100 ? fmt::format("{:.0f}", rate) : fmt::format("{:.1f}", rate);
}

std::string calls_text(Status const &status)
{
	if (status.calls.empty()) return {};
	std::vector<Live_call const *> calls;
	for (Live_call const &call : status.calls) calls.push_back(&call);
	std::ranges::sort(calls, [](Live_call const *a, Live_call const *b) {
		return std::tie(a->since_us, a->caller, a->target, a->service) <
			std::tie(b->since_us, b->caller, b->target, b->service);
	});
	size_t const left = calls.size() - std::min(calls.size(), CALLS_SHOWN);
	calls.resize(calls.size() - left);
	Table table({{"CALLER"}, {"TARGET"}, {"SERVICE"}, {"FOR", Side::RIGHT}});
	for (Live_call const *call : calls)
		table.add({call->caller, call->target, call->service,
			duration_text(since(status, call->since_us))});
	return "\n" + table.text() + (left ? fmt::format("and {} more calls\n", left) : "");
}

std::string refusals_text(Status const &status)
{
	if (status.refusals.empty()) return {};
	Table table({{"REFUSED"}, {"TARGET"}, {"SERVICE"}, {"TIMES", Side::RIGHT},
		{"LAST", Side::RIGHT}, {"WHY"}});
	std::vector<Refused_calls const *> refusals;
	for (Refused_calls const &refused : status.refusals) refusals.push_back(&refused);
	std::ranges::sort(refusals, [](Refused_calls const *a, Refused_calls const *b) {
		return std::tie(b->last_us, a->caller, a->target, a->service) <
			std::tie(a->last_us, b->caller, b->target, b->service);
	});
	if (refusals.size() > REFUSALS_SHOWN) refusals.resize(REFUSALS_SHOWN);
	for (Refused_calls const *refused : refusals)
		table.add(
			{refused->caller, refused->target, refused->service, std::to_string(refused->count),
				duration_text(since(status, refused->last_us)) + " ago", refused->reason});
	return "\n" + table.text();
}

int report_no_status()
{
	return report({Exit::PEER_BROKE, "the broker's status is no JSON",
		"the same version of broker and tool"});
}

int list_services(Status const &status, std::string const &name)
{
	Domain_status const *const domain = status.find(name);
	if (!domain) return report(no_domain(status, name));
	for (std::string const &service : domain->services) fmt::print("{}\n", service);
	return static_cast<int>(Exit::OK);
}

/* The status; while the broker is being replaced, that of the next. */
Or_trouble<std::string> patient_status(Control &control)
{
	auto status = control.status();
	for (unsigned looks = 0; !status.ok() && looks < LOOKS_MAX; ++looks) {
		std::this_thread::sleep_for(LOOK_AGAIN);
		auto again = Control::open(control.system());
		if (!again.ok()) continue;
		control = std::move(again.value());
		status = control.status();
	}
	return status;
}

} // namespace

std::string ps_text(Status const &status)
{
	Table table({{"DOMAIN"}, {"STATE"}, {"PID", Side::RIGHT}, {"FOR", Side::RIGHT},
		{"STARTS", Side::RIGHT}, {"LIVE", Side::RIGHT}, {"MADE", Side::RIGHT},
		{"SERVED", Side::RIGHT}, {"REFUSED", Side::RIGHT}, {"MEMORY", Side::RIGHT}, {"LAST END"}});
	for (Domain_status const &domain : status.domains)
		table.add({domain.name, domain.state, pid_text(domain),
			duration_text(since(status, domain.since_us)), std::to_string(domain.starts),
			std::to_string(domain.live), std::to_string(domain.calls_made),
			std::to_string(domain.calls_served), std::to_string(domain.calls_refused),
			memory_text(domain), domain.last_end});
	return heading_of(status) + weaker_text(status) + "\n" + table.text();
}

std::string top_text(Status const &status, Status const *before)
{
	Rates const rates(status, before);
	Table table({{"DOMAIN"}, {"STATE"}, {"PID", Side::RIGHT}, {"MEMORY", Side::RIGHT},
		{"LIVE", Side::RIGHT}, {"MADE/s", Side::RIGHT}, {"SERVED/s", Side::RIGHT},
		{"REFUSED/s", Side::RIGHT}, {"STARTS", Side::RIGHT}});
	std::vector<Domain_status const *> domains;
	for (Domain_status const &domain : status.domains) domains.push_back(&domain);
	auto const busy = [&](Domain_status const *domain) {
		return rates.of(*domain, &Domain_status::calls_made) +
			rates.of(*domain, &Domain_status::calls_served);
	};
	std::ranges::sort(domains, [&](Domain_status const *a, Domain_status const *b) {
		return std::tuple(busy(b), b->live, std::string_view(a->name)) <
			std::tuple(busy(a), a->live, std::string_view(b->name));
	});
	for (Domain_status const *domain : domains)
		table.add({domain->name, domain->state, pid_text(*domain), memory_text(*domain),
			std::to_string(domain->live), rate_text(rates.of(*domain, &Domain_status::calls_made)),
			rate_text(rates.of(*domain, &Domain_status::calls_served)),
			rate_text(rates.of(*domain, &Domain_status::calls_refused)),
			std::to_string(domain->starts)});
	return heading_of(status) + "\n" + table.text() + calls_text(status) + refusals_text(status);
}

std::string top_json(Status const &status, Status const *before)
{
	Rates const rates(status, before);
	std::string text = fmt::format("{{\"system\":{},\"now_us\":{},\"live\":{},\"domains\":[",
		json_text(status.system), status.now_us, status.calls.size());
	bool first = true;
	for (Domain_status const &domain : status.domains) {
		text += fmt::format("{}{{\"name\":{},\"state\":{},\"pid\":{},\"memory_bytes\":{},"
							"\"live\":{},\"made_per_s\":{:.1f},\"served_per_s\":{:.1f},"
							"\"refused_per_s\":{:.1f},\"starts\":{}}}",
			first ? "" : ",", json_text(domain.name), json_text(domain.state), domain.pid,
			domain.memory_bytes, domain.live, rates.of(domain, &Domain_status::calls_made),
			rates.of(domain, &Domain_status::calls_served),
			rates.of(domain, &Domain_status::calls_refused), domain.starts);
		first = false;
	}
	return text + "]}\n";
}

int show_domains(Ps_options const &options)
{
	auto control = Control::open(options.system);
	if (!control.ok()) return report(control.error());
	auto const json = control.value().status();
	if (!json.ok()) return report(json.error());
	if (options.json) {
		fmt::print("{}\n", json.value());
		return static_cast<int>(Exit::OK);
	}
	std::optional<Status> const status = read_status(json.value());
	if (!status) return report_no_status();
	if (!options.services_of.empty()) return list_services(*status, options.services_of);
	fmt::print("{}", ps_text(*status));
	return static_cast<int>(Exit::OK);
}

int watch_domains(Top_options const &options)
{
	auto control = Control::open(options.system);
	if (!control.ok()) return report(control.error());
	bool const refreshes = isatty(STDOUT_FILENO) && !options.once && !options.json;
	std::optional<Status> before;
	while (true) {
		auto const json = patient_status(control.value());
		if (!json.ok()) return report(json.error());
		std::optional<Status> status = read_status(json.value());
		if (!status) return report_no_status();
		Status const *const then = before ? &*before : nullptr;
		std::string const text = options.json ? top_json(*status, then) : top_text(*status, then);
		fmt::print("{}{}", refreshes ? CLEAR : before && !options.json ? "\n" : "", text);
		if (fflush(stdout) != 0) return static_cast<int>(Exit::FAILURE);
		if (options.once) return static_cast<int>(Exit::OK);
		before = std::move(status);
		std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_s));
	}
}

} // namespace bulkhead::tool
