// Decisions per second, against a matcher that looks at every rule, and against the index's own
// speed when there are thirty times as many rules. Pins itself to one CPU.

#include "rpc/policy/test/model.h"
#include "rpc/policy/test/random.h"

#include <chrono>
#include <cstdio>
#include <sched.h>

namespace bulkhead::policy::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t DOMAINS = 50;
constexpr size_t REQUESTS = 4096;
constexpr double SECONDS = 0.4;
constexpr int ROUNDS = 3;

double seconds_since(Clock::time_point start)
{
	return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<Described> many_domains()
{
	static constexpr std::array<char const *, 6> TAGS{
		"red", "office", "net", "gpu", "created-by-dom0", "audio"};
	Chance chance(7);
	std::vector<Described> domains = standard_domains();
	while (domains.size() < DOMAINS) {
		Described domain{.name = "vm" + std::to_string(domains.size())};
		for (char const *const tag : TAGS)
			if (chance.below(3) == 0) domain.tags.push_back(tag);
		domain.running = chance.below(2);
		domain.template_for_dispvms = chance.below(8) == 0;
		domain.uuid = "uuid:" + uuid_of(static_cast<unsigned>(domains.size()));
		domains.push_back(domain);
	}
	return domains;
}

/* A shape like that of a system's own: many services with a few rules each. */
struct Shape
{
	char const *name;
	size_t rules;
	size_t services;
	bool ask;
};

std::string name_by(Chance &chance) { return "vm" + std::to_string(16 + chance.below(34)); }

std::string word_by(Chance &chance, bool target)
{
	switch (chance.below(target ? 9 : 7)) {
	case 0: return "@tag:red";
	case 1: return "@tag:net";
	case 2: return "@type:AppVM";
	case 3: return "@anyvm";
	case 4: return "@adminvm";
	case 7: return "@dispvm";
	case 8: return "@default";
	default: return name_by(chance);
	}
}

std::string action_by(Chance &chance, Shape const &shape, std::string_view target)
{
	size_t const action = chance.below(shape.ask ? 3 : 2);
	if (action == 0) return " deny\n";
	if (action == 1) return target == "@default" ? " allow target=web\n" : " allow\n";
	return " ask\n";
}

/* Each service ends with a rule for what is left, as those of a system do. */
std::string policy_of(Shape const &shape, Chance &chance)
{
	std::string text;
	for (size_t i = 0; i < shape.rules - shape.services; ++i) {
		std::string const target = word_by(chance, true);
		text += "qubes.Service" + std::to_string(i % shape.services);
		text += chance.below(6) == 0 ? " +arg " : " * ";
		text += word_by(chance, false) + " " + target + action_by(chance, shape, target);
	}
	for (size_t i = 0; i < shape.services; ++i)
		text += "qubes.Service" + std::to_string(i) + " * @anyvm @anyvm" +
			action_by(chance, shape, "@anyvm");
	return text;
}

struct Bench
{
	Heap heap{};
	std::vector<Described> domains = many_domains();
	Memory_files files{};
	Owned<Policy> policy{};
	Owned<System> system{};
	Owned<Asker> asker{};
	std::vector<std::array<std::string, 4>> texts{};
	std::vector<Request> requests{};

	void load()
	{
		asker.reset();
		constexpr std::array<std::string_view, 1> DIRECTORIES{"p"};
		policy = Policy::load(heap, files, DIRECTORIES, "").value();
		system = System::create(heap, descriptions(domains)).value();
		asker = Asker::create(heap, *policy, *system).value();
	}

	explicit Bench(Shape const &shape)
	{
		Chance chance(shape.rules);
		files.texts["p/30.policy"] = policy_of(shape, chance);
		load();
		static constexpr std::array<char const *, 4> ODD{"@default", "@dispvm", "@adminvm", "none"};
		for (size_t i = 0; i < REQUESTS; ++i)
			texts.push_back({"qubes.Service" + std::to_string(chance.below(shape.services)),
				chance.below(4) ? "+" : "+arg", name_by(chance),
				chance.below(4) ? name_by(chance) : chance.of(ODD)});
		for (auto const &[service, argument, source, target] : texts)
			requests.push_back({service, argument, source, target});
	}

	/* The best of some rounds: others use this machine, too. */
	template <typename FN>
	double rate(FN &&decide)
	{
		double best = 0;
		for (int round = 0; round < ROUNDS; ++round) {
			size_t done = 0;
			Clock::time_point const start = Clock::now();
			double taken = 0;
			for (; taken < SECONDS / ROUNDS; taken = seconds_since(start))
				for (size_t i = 0; i < 256; ++i) decide(requests[done++ % REQUESTS]);
			best = std::max(best, static_cast<double>(done) / taken);
		}
		return best;
	}

	double index_rate()
	{
		return rate([&](Request const &request) {
			Verdict const verdict = asker->evaluate(request);
			asm volatile("" ::"r"(&verdict) : "memory");
		});
	}

	double linear_rate()
	{
		Model const model(*policy, domains);
		return rate([&](Request const &request) {
			uint32_t const rule = model.first(request);
			if (rule != NONE && policy->rules()[rule].action == Action::ASK)
				asm volatile("" ::"r"(model.choices(request).size()) : "memory");
		});
	}

	void shares(double &ask, double &allow)
	{
		for (Request const &request : requests) {
			Action const action = asker->evaluate(request).action;
			ask += action == Action::ASK ? 100.0 / REQUESTS : 0;
			allow += action == Action::ALLOW ? 100.0 / REQUESTS : 0;
		}
	}
};

void measure(std::span<Shape const> shapes)
{
	double first = 0;
	for (Shape const &shape : shapes) {
		Bench bench(shape);
		double const index = bench.index_rate();
		double const linear = bench.linear_rate();
		double ask = 0;
		double allow = 0;
		bench.shares(ask, allow);
		if (first == 0) first = index;
		printf(
			"%-42s %10.0f/s  linear %8.0f/s  %7.1fx  cost %4.2fx  (%2.0f%% allow, %2.0f%% ask)\n",
			shape.name, index, linear, index / linear, first / index, allow, ask);
	}
}

void measure_load(Shape const &shape)
{
	Bench bench(shape);
	double best = 1;
	double rebuild = 1;
	for (int i = 0; i < 50; ++i) {
		Clock::time_point const start = Clock::now();
		bench.load();
		best = std::min(best, seconds_since(start));
		Clock::time_point const again = Clock::now();
		bench.asker.reset();
		bench.system = System::create(bench.heap, descriptions(bench.domains)).value();
		bench.asker = Asker::create(bench.heap, *bench.policy, *bench.system).value();
		rebuild = std::min(rebuild, seconds_since(again));
	}
	printf("load %zu rules: %.3f ms, of it for the domains alone: %.3f ms\n", shape.rules,
		best * 1e3, rebuild * 1e3);
}

int run()
{
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	bool const pinned = sched_setaffinity(0, sizeof(cpus), &cpus) == 0;
	printf("%zu domains; one thread, %s; linear: every rule, words compared as texts\n", DOMAINS,
		pinned ? "pinned to CPU 0" : "not pinned");
	static constexpr std::array PLAIN{
		Shape{"allow or deny, 328 rules", 328, 96, false},
		Shape{"allow or deny, 10,000 rules, more services", 10'000, 2'926, false},
		Shape{"allow or deny, 10,000 rules, same services", 10'000, 96, false},
		Shape{"allow or deny, 10,000 rules, one service", 10'000, 1, false},
	};
	static constexpr std::array MIXED{
		Shape{"with ask, 328 rules", 328, 96, true},
		Shape{"with ask, 10,000 rules, more services", 10'000, 2'926, true},
		Shape{"with ask, 10,000 rules, same services", 10'000, 96, true},
		Shape{"with ask, 10,000 rules, one service", 10'000, 1, true},
	};
	measure(PLAIN);
	measure(MIXED);
	measure_load(PLAIN[0]);
	measure_load(PLAIN[1]);
	return 0;
}

} // namespace
} // namespace bulkhead::policy::test

int main() { return bulkhead::policy::test::run(); }
