#include "domain/manifest/plan_checks.h"

#include "domain/manifest/toml.h"

#include <algorithm>
#include <unordered_map>

namespace bulkhead::domain {

namespace {

class Checks
{
private:
	enum class Visit : uint8_t { NOT_YET, UNDER_WAY, DONE };

	Reading &_reading;
	std::vector<Domain_plan> &_domains;
	std::unordered_map<std::string_view, size_t> _by_name{};
	std::vector<Visit> _visits{};
	std::vector<size_t> _way{}; // from where a visit began
	std::vector<size_t> _order{};

	void _fault(Position at, std::string problem, std::string remedy)
	{
		_reading.faults.push_back({at, std::move(problem), std::move(remedy)});
	}

	void _check(Reference const &reference)
	{
		std::string const &own = _domains[reference.domain].name;
		std::string const subject = "domain '" + own +
			(reference.kind == Reference::Kind::NEED ? "' needs " : "' mounts files of ");
		if (reference.name == own)
			return _fault(reference.at, subject + "itself", "name another domain");
		if (_by_name.contains(reference.name)) return;
		std::vector<std::string_view> known;
		for (Domain_plan const &other : _domains)
			if (other.name != own) known.push_back(other.name);
		_fault(reference.at, subject + "'" + printable(reference.name) + "', which doesn't exist",
			suggestion(reference.name, known));
	}

	/* "a needs b, b needs c, c needs a" */
	void _tell_cycle(size_t again)
	{
		auto const first = std::ranges::find(_way, again);
		std::string text;
		for (auto at = first; at != _way.end(); ++at) {
			size_t const next = at + 1 == _way.end() ? again : at[1];
			if (!text.empty()) text += ", ";
			text += _domains[*at].name + " needs " + _domains[next].name;
		}
		_fault(_domains[again].at, "a circle: " + text,
			"one of them has to start without the other (a mount is a need, too)");
	}

	void _visit(size_t index)
	{
		if (_visits[index] == Visit::DONE) return;
		if (_visits[index] == Visit::UNDER_WAY) return _tell_cycle(index);
		_visits[index] = Visit::UNDER_WAY;
		_way.push_back(index);
		auto const visit_named = [&](std::string_view name) {
			auto const found = _by_name.find(name);
			if (found != _by_name.end() && found->second != index) _visit(found->second);
		};
		for (std::string const &need : _domains[index].needs) visit_named(need);
		for (Mount const &mount : _domains[index].mounts) visit_named(mount.domain);
		_way.pop_back();
		_visits[index] = Visit::DONE;
		_order.push_back(index);
	}

	/* Files of a domain that runs anyway are waited for; one that a call starts needn't run. */
	void _add_needs_of_mounts(Domain_plan &domain)
	{
		for (Mount const &mount : domain.mounts) {
			auto const found = _by_name.find(mount.domain);
			if (found == _by_name.end() || _domains[found->second].start == Start::ON_CALL)
				continue;
			if (std::ranges::find(domain.needs, mount.domain) == domain.needs.end())
				domain.needs.push_back(mount.domain);
		}
	}

public:
	explicit Checks(Reading &reading)
		: _reading(reading), _domains(reading.plan.domains), _visits(_domains.size())
	{
		for (size_t i = 0; i < _domains.size(); ++i) _by_name.emplace(_domains[i].name, i);
	}

	void run(std::vector<Reference> const &references)
	{
		for (Reference const &reference : references) _check(reference);
		for (size_t i = 0; i < _domains.size(); ++i) _visit(i);
		for (Domain_plan &domain : _domains) _add_needs_of_mounts(domain);
		std::vector<Domain_plan> ordered;
		for (size_t const index : _order) ordered.push_back(std::move(_domains[index]));
		_domains = std::move(ordered);
	}
};

} // namespace

void order_by_need(Reading &reading, std::vector<Reference> const &references)
{
	Checks(reading).run(references);
}

} // namespace bulkhead::domain
