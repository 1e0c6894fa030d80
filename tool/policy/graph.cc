#include "tool/policy/graph.h"

#include "tool/picture.h"
#include "tool/report.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numbers>

namespace bulkhead::tool {

namespace {

using Json = nlohmann::ordered_json;
using policy::Action;
using Set = std::set<std::string>;

constexpr size_t LABEL_SERVICES = 3;

bool wanted(std::vector<std::string> const &only, std::string_view name)
{
	return only.empty() || std::ranges::find(only, name) != only.end();
}

/* Services that rules name, with their arguments, and one that none does. */
Set services_of(policy::Policy const &policy, std::vector<std::string> const &only)
{
	Set services;
	for (policy::Rule const &rule : policy.rules()) {
		std::string const bare(rule.service);
		std::string const full =
			bare + std::string(rule.argument == policy::EACH ? "" : rule.argument);
		if (wanted(only, bare) || wanted(only, full)) services.insert(full);
	}
	return services;
}

/* What a call may be for: domains, dom0, and new disposables. */
std::vector<std::string> targets_of(policy::System const &system)
{
	std::vector<std::string> targets{"@default"};
	for (policy::Domain const &domain : system.domains()) {
		if (!domain.exists) continue;
		targets.emplace_back(domain.name);
		if (domain.template_for_dispvms) targets.push_back("@dispvm:" + std::string(domain.name));
	}
	return targets;
}

void add_calls(Policy_setting &setting, Graph_options const &options,
	policy::Request const &request, std::string const &service, Call_graph &graph)
{
	policy::Verdict const verdict = setting.asker->evaluate(request);
	std::string const from(request.source);
	if (verdict.action == Action::ALLOW &&
		setting.asker->call_fault(verdict) != policy::Call_fault::LOOPBACK) {
		std::string const to = setting.text(verdict.target);
		if (wanted(options.targets, to)) graph.calls[{from, to}].allowed.insert(service);
	}
	if (verdict.action != Action::ASK || options.no_ask) return;
	setting.asker->for_each_choice([&](policy::Destination const &choice) {
		std::string const to = setting.text(choice);
		if (wanted(options.targets, to)) graph.calls[{from, to}].asked.insert(service);
	});
}

std::string escaped(std::string_view text, std::string_view special, auto &&escape)
{
	std::string result;
	for (char const c : text)
		if (special.find(c) == std::string_view::npos)
			result += c;
		else
			result += escape(c);
	return result;
}

std::string dot_text(std::string_view text)
{
	return '"' + escaped(text, "\"\\", [](char c) { return std::string{'\\', c}; }) + '"';
}

std::string label_of(Set const &services)
{
	std::string label;
	size_t left = services.size();
	for (std::string const &service : services) {
		if (services.size() - left == LABEL_SERVICES) break;
		label += (label.empty() ? "" : "\n") + service;
		--left;
	}
	return left ? label + fmt::format("\nand {} more", left) : label;
}

std::string dot_edge(std::pair<std::string, std::string> const &ends, Set const &services, bool ask)
{
	if (services.empty()) return "";
	std::string const label = escaped(label_of(services), "\"\\\n",
		[](char c) { return c == '\n' ? std::string("\\n") : std::string{'\\', c}; });
	return fmt::format("\t{} -> {} [label=\"{}\"{}];\n", dot_text(ends.first),
		dot_text(ends.second), label, ask ? ", style=dashed, color=gray40" : "");
}

/* Where the nodes of a picture lie. */
class Circle
{
private:
	static constexpr double MARGIN = 90;
	static constexpr double SPACING = 56;
	static constexpr double GAP = 14;

	std::map<std::string, std::pair<double, double>> _places{};
	double _radius = 0;

public:
	explicit Circle(Call_graph const &graph)
	{
		Set names;
		for (auto const &[ends, services] : graph.calls) {
			names.insert(ends.first);
			names.insert(ends.second);
		}
		double const count = static_cast<double>(std::max<size_t>(names.size(), 1));
		_radius = std::max(120.0, count * SPACING / (2 * std::numbers::pi));
		double at = 0;
		for (std::string const &name : names) {
			double const angle = 2 * std::numbers::pi * at++ / count - std::numbers::pi / 2;
			_places[name] = {
				MARGIN + _radius * (1 + std::cos(angle)), MARGIN + _radius * (1 + std::sin(angle))};
		}
	}

	double size() const { return 2 * (MARGIN + _radius); }
	double middle() const { return MARGIN + _radius; }
	auto const &places() const { return _places; }

	/* A curve that bends towards the middle, so that there and back are two lines. */
	std::string path(std::string const &from, std::string const &to) const
	{
		auto const [x0, y0] = _places.at(from);
		auto const [x1, y1] = _places.at(to);
		double const length = std::max(1.0, std::hypot(x1 - x0, y1 - y0));
		double const side = 0.12;
		double const cx = (x0 + x1) / 2 * 0.7 + middle() * 0.3 - (y1 - y0) * side;
		double const cy = (y0 + y1) / 2 * 0.7 + middle() * 0.3 + (x1 - x0) * side;
		double const back = std::max(1.0, std::hypot(x1 - cx, y1 - cy));
		double const ahead = std::max(1.0, std::hypot(cx - x0, cy - y0));
		double const gap = std::min(GAP, length / 4);
		return fmt::format("M{:.1f},{:.1f} Q{:.1f},{:.1f} {:.1f},{:.1f}",
			x0 + (cx - x0) / ahead * gap, y0 + (cy - y0) / ahead * gap, cx, cy,
			x1 - (x1 - cx) / back * gap, y1 - (y1 - cy) / back * gap);
	}
};

std::string svg_edge(Circle const &circle, std::pair<std::string, std::string> const &ends,
	Set const &services, bool ask)
{
	if (services.empty()) return "";
	std::string list;
	for (std::string const &service : services) list += "\n" + service;
	return fmt::format("<path class=\"{}\" d=\"{}\"><title>{} -&gt; {}, {}:{}</title></path>\n",
		ask ? "ask" : "allow", circle.path(ends.first, ends.second), xml_text(ends.first),
		xml_text(ends.second), ask ? "ask" : "allow", xml_text(list));
}

std::string json_of(Call_graph const &graph)
{
	Json list = Json::array();
	for (auto const &[ends, services] : graph.calls)
		list.push_back({{"from", ends.first}, {"to", ends.second}, {"allow", services.allowed},
			{"ask", services.asked}});
	return Json{{"calls", list}}.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

} // namespace

Call_graph call_graph(Policy_setting &setting, Graph_options const &options)
{
	Call_graph graph;
	std::vector<std::string> const targets = targets_of(*setting.system);
	for (std::string const &service : services_of(*setting.policy, options.services)) {
		size_t const plus = std::min(service.find('+'), service.size());
		// A rule for every argument counts for one that no rule names.
		std::string const argument = plus == service.size() ? "+*" : service.substr(plus);
		for (policy::Domain const &source : setting.system->domains()) {
			if (!source.exists || !wanted(options.sources, source.name)) continue;
			for (std::string const &target : targets)
				add_calls(setting, options,
					{.service = std::string_view(service).substr(0, plus),
						.argument = argument,
						.source = source.name,
						.target = target},
					service, graph);
		}
	}
	return graph;
}

std::string dot_of(Call_graph const &graph)
{
	std::string dot = "digraph policy {\n\trankdir=LR;\n\tnode [shape=box, style=rounded];\n"
					  "\tedge [fontsize=9];\n";
	for (auto const &[ends, services] : graph.calls) {
		dot += dot_edge(ends, services.allowed, false);
		dot += dot_edge(ends, services.asked, true);
	}
	return dot + "}\n";
}

std::string svg_of(Call_graph const &graph)
{
	Circle const circle(graph);
	std::string svg = fmt::format(
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {0:.0f}\" "
		"font-family=\"sans-serif\" font-size=\"13\">\n<style>path{{fill:none;stroke:#26547c;"
		"stroke-width:1.4;marker-end:url(#tip)}}.ask{{stroke:#999;stroke-dasharray:5 4}}"
		"path:hover{{stroke:#d1495b;stroke-width:3}}text{{text-anchor:middle;paint-order:stroke;"
		"stroke:#fff;stroke-width:4px}}</style>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" "
		"refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path "
		"style=\"fill:#26547c;stroke:none;marker-end:none\" d=\"M0,0 L8,4 L0,8 z\"/></marker>"
		"</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
		circle.size());
	for (auto const &[ends, services] : graph.calls) {
		svg += svg_edge(circle, ends, services.asked, true);
		svg += svg_edge(circle, ends, services.allowed, false);
	}
	for (auto const &[name, place] : circle.places())
		svg += fmt::format("<circle cx=\"{0:.1f}\" cy=\"{1:.1f}\" r=\"5\" fill=\"#26547c\"/>"
						   "<text x=\"{0:.1f}\" y=\"{2:.1f}\">{3}</text>\n",
			place.first, place.second, place.second + (place.second < circle.middle() ? -10 : 20),
			xml_text(name));
	svg += "<text x=\"50%\" y=\"20\">line: allowed; dashed: asked; point at a line for its services"
		   "</text>\n";
	return svg + "</svg>\n";
}

int draw_policy(Graph_options const &options)
{
	Policy_setting setting;
	setting.load(options.policy);
	if (setting.policy->broken()) return report_policy_faults(*setting.policy, options.policy.json);
	if (auto const trouble = setting.describe(options.policy)) return report(*trouble);
	Call_graph const graph = call_graph(setting, options);
	std::string const text = options.policy.json ? json_of(graph)
		: options.format == "svg"                ? svg_of(graph)
												 : dot_of(graph);
	return write_picture(options.output, text);
}

} // namespace bulkhead::tool
