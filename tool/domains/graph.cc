#include "tool/domains/graph.h"

#include "domain/gate/message.h"
#include "tool/domains/control.h"
#include "tool/domains/layout.h"
#include "tool/picture.h"
#include "tool/report.h"

#include <algorithm>
#include <fmt/format.h>

namespace bulkhead::tool {

namespace {

using Ends = Composition::Ends;
using Services = Composition::Services;

constexpr size_t LABELS_MAX = 2;
constexpr size_t LABEL_LETTERS = 28;

constexpr std::string_view STYLE = R"(<style>
text{fill:#222}
.small{font-size:11px;fill:#555}
.label{font-size:11px;text-anchor:middle;paint-order:stroke;stroke:#fff;stroke-width:4px}
.box{fill:#f6f8fa;stroke:#57606a;stroke-width:1.5}
.running{fill:#e8f5ee;stroke:#1a7f4b}
.starting,.waiting,.stopping{fill:#fff8e1;stroke:#a66f00}
.failed{fill:#fdecea;stroke:#b3261e}
.unknown{fill:#fff;stroke-dasharray:4 3}
.call{fill:none;stroke:#26547c;stroke-width:1.6;marker-end:url(#call)}
.refused{fill:none;stroke:#b3261e;stroke-width:1.4;stroke-dasharray:6 4;marker-end:url(#refused)}
.why{fill:#b3261e}
</style>
)";

std::string label_of(Services const &services)
{
	std::string label;
	size_t shown = 0;
	for (auto const &[service, count] : services) {
		if (shown++ == LABELS_MAX) break;
		if (!label.empty()) label += ", ";
		label += service.size() > LABEL_LETTERS ? service.substr(0, LABEL_LETTERS) + "…" : service;
		if (count > 1) label += fmt::format(" ×{}", count);
	}
	if (services.size() > LABELS_MAX)
		label += fmt::format(" and {} more", services.size() - LABELS_MAX);
	return label;
}

std::string title_of(Ends const &ends, Services const &services)
{
	std::string title = fmt::format("{} → {}", ends.first, ends.second);
	for (auto const &[service, count] : services) title += fmt::format("\n{} ×{}", service, count);
	return title;
}

std::string tip(std::string_view name, std::string_view color)
{
	return fmt::format("<marker id=\"{}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" "
					   "markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">"
					   "<path fill=\"{}\" d=\"M0,0 L8,4 L0,8 z\"/></marker>",
		name, color);
}

std::string arrow_text(
	Layout const &layout, Ends const &ends, Services const &services, bool refused, unsigned lane)
{
	Layout::Arrow const arrow = layout.arrow(ends, lane);
	std::string path;
	for (Layout::Leg const &leg : arrow.legs)
		path += fmt::format("{}{:.1f},{:.1f} C{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}",
			path.empty() ? "M" : " L", leg.from.x, leg.from.y, leg.bend_from.x, leg.bend_from.y,
			leg.bend_to.x, leg.bend_to.y, leg.to.x, leg.to.y);
	return fmt::format("<path class=\"{}\" d=\"{}\"><title>{}</title></path>\n"
					   "<text class=\"label{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
		refused ? "refused" : "call", path, xml_text(title_of(ends, services)),
		refused ? " why" : "", arrow.label.x, arrow.label.y - 4, xml_text(label_of(services)));
}

std::string box_text(std::string const &name, Composition::Node const &node, Layout::Box const &box)
{
	std::string text = fmt::format("<rect class=\"box {}\" x=\"{:.1f}\" y=\"{:.1f}\" "
								   "width=\"{:.1f}\" height=\"{:.1f}\" rx=\"6\"/>\n",
		node.exists ? node.state : "unknown", box.x, box.y, box.width, box.height);
	double y = box.y + 12;
	auto const line = [&](std::string_view kind, std::string_view words) {
		y += 16;
		text += fmt::format("<text{} x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", kind, box.x + 12,
			y - 4, xml_text(words));
	};
	line(" font-weight=\"bold\"", name);
	line(" class=\"small\"",
		!node.state.empty() ? node.state
			: node.exists   ? "the operator"
							: "no domain");
	for (size_t i = 0; i < node.services.size(); ++i) {
		if (i == Layout::SERVICES_SHOWN) {
			line(" class=\"small\"", fmt::format("and {} more", node.services.size() - i));
			break;
		}
		line(" class=\"small\"", node.services[i]);
	}
	return text;
}

std::string services_json(Services const &services)
{
	std::string text;
	for (auto const &[service, count] : services)
		text += fmt::format("{}{}:{}", text.empty() ? "" : ",", json_text(service), count);
	return "{" + text + "}";
}

std::string ends_json(std::map<Ends, Services> const &calls)
{
	std::string text;
	for (auto const &[ends, services] : calls)
		text += fmt::format("{}\n    {{\"caller\": {}, \"target\": {}, \"services\": {}}}",
			text.empty() ? "" : ",", json_text(ends.first), json_text(ends.second),
			services_json(services));
	return text;
}

} // namespace

Composition composition_of(Status const &status)
{
	Composition composition{.system = status.system};
	for (Domain_status const &domain : status.domains) {
		Composition::Node node{domain.state, domain.services,
			std::set(domain.needs.begin(), domain.needs.end()), true};
		std::ranges::sort(node.services);
		composition.nodes.emplace(domain.name, std::move(node));
	}
	auto const know = [&](std::string const &name) {
		composition.nodes.try_emplace(name, Composition::Node{.exists = name == domain::OPERATOR});
	};
	for (Live_call const &call : status.calls) {
		know(call.caller);
		know(call.target);
		++composition.calls[{call.caller, call.target}][call.service];
	}
	for (Refused_calls const &refused : status.refusals) {
		know(refused.caller);
		know(refused.target);
		composition.refusals[{refused.caller, refused.target}][refused.service] += refused.count;
	}
	return composition;
}

std::string svg_of(Composition const &composition)
{
	Layout const layout(composition);
	std::string svg = fmt::format(
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
		"width=\"{0:.0f}\" height=\"{1:.0f}\" font-family=\"sans-serif\" font-size=\"13\">\n{2}"
		"<defs>{3}{4}</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
		"<text x=\"40\" y=\"34\" font-size=\"18\">{5}</text>\n",
		layout.width(), layout.height(), STYLE, tip("call", "#26547c"), tip("refused", "#b3261e"),
		xml_text(composition.system));
	std::map<Ends, unsigned> lanes; // of both directions together
	auto const lane_of = [&](Ends const &ends) {
		return lanes[std::minmax(ends.first, ends.second)]++;
	};
	for (auto const &[ends, services] : composition.calls)
		svg += arrow_text(layout, ends, services, false, lane_of(ends));
	for (auto const &[ends, services] : composition.refusals)
		svg += arrow_text(layout, ends, services, true, lane_of(ends));
	for (auto const &[name, box] : layout.boxes())
		svg += box_text(name, composition.nodes.at(name), box);
	svg += fmt::format("<text class=\"small\" x=\"40\" y=\"{:.0f}\">line: live calls; dashed: "
					   "refused; point at a line for its services</text>\n",
		layout.height() - 14);
	return svg + "</svg>\n";
}

std::string json_of(Composition const &composition)
{
	std::string domains;
	for (auto const &[name, node] : composition.nodes) {
		std::string services;
		for (std::string const &service : node.services)
			services += (services.empty() ? "" : ", ") + json_text(service);
		domains += fmt::format("{}\n    {{\"name\": {}, \"state\": {}, \"services\": [{}]}}",
			domains.empty() ? "" : ",", json_text(name), json_text(node.state), services);
	}
	return fmt::format("{{\n  \"system\": {},\n  \"domains\": [{}\n  ],\n  \"calls\": [{}\n  ],\n"
					   "  \"refusals\": [{}\n  ]\n}}\n",
		json_text(composition.system), domains, ends_json(composition.calls),
		ends_json(composition.refusals));
}

int draw_composition(Composition_options const &options)
{
	auto control = Control::open(options.system);
	if (!control.ok()) return report(control.error());
	auto const json = control.value().status();
	if (!json.ok()) return report(json.error());
	std::optional<Status> const status = read_status(json.value());
	if (!status) return report({Exit::PEER_BROKE, "the broker's status is no JSON"});
	Composition const composition = composition_of(*status);
	return write_picture(options.output, options.json ? json_of(composition) : svg_of(composition));
}

} // namespace bulkhead::tool
