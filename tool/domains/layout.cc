#include "tool/domains/layout.h"

#include <algorithm>
#include <cmath>

namespace bulkhead::tool {

namespace {

constexpr double LETTER = 7.4; // of text of 13 pixels, at most on average
constexpr double LINE = 16;
constexpr double PADDING = 12;
constexpr double WIDTH_MIN = 120;
constexpr double GAP_X = 190; // with room for the labels of arrows
constexpr double GAP_Y = 30;
constexpr double MARGIN = 40;
constexpr double HEADING = 40;
constexpr double LANE = 14;

/* Who calls whom, or would, or needs him. */
std::map<std::string, std::set<std::string>> targets_of(Composition const &composition)
{
	std::map<std::string, std::set<std::string>> targets;
	for (auto const *calls : {&composition.calls, &composition.refusals})
		for (auto const &[ends, services] : *calls) targets[ends.first].insert(ends.second);
	for (auto const &[name, node] : composition.nodes)
		for (std::string const &need : node.needs)
			if (composition.nodes.contains(need)) targets[name].insert(need);
	return targets;
}

size_t longest_line(std::string const &name, Composition::Node const &node)
{
	size_t longest = std::max(name.size(), node.state.size());
	for (std::string const &service : node.services) longest = std::max(longest, service.size());
	return std::min<size_t>(longest, 40);
}

} // namespace

/* The longest way to each; a way that comes back to itself counts up to there. */
std::map<std::string, size_t> Layout::_ranks(Composition const &composition)
{
	auto const targets = targets_of(composition);
	std::map<std::string, size_t> ranks;
	for (auto const &[name, node] : composition.nodes) ranks[name] = 0;
	std::vector<std::string> order; // callers first
	std::set<std::string> seen, under_way;
	std::set<Composition::Ends> backwards;
	auto const visit = [&](auto const &self, std::string const &name) -> void {
		seen.insert(name);
		under_way.insert(name);
		if (auto const found = targets.find(name); found != targets.end())
			for (std::string const &target : found->second) {
				if (under_way.contains(target)) backwards.insert({name, target});
				if (!seen.contains(target)) self(self, target);
			}
		under_way.erase(name);
		order.push_back(name);
	};
	for (auto const &[name, node] : composition.nodes)
		if (!seen.contains(name)) visit(visit, name);
	for (auto name = order.rbegin(); name != order.rend(); ++name) {
		auto const found = targets.find(*name);
		if (found == targets.end()) continue;
		for (std::string const &target : found->second)
			if (!backwards.contains({*name, target}))
				ranks[target] = std::max(ranks[target], ranks[*name] + 1);
	}
	return ranks;
}

std::vector<Layout::Column> Layout::_columns(Composition const &composition)
{
	std::map<size_t, Column> by_rank;
	for (auto const &[name, rank] : _ranks(composition)) by_rank[rank].push_back(name);
	auto const targets = targets_of(composition);
	std::map<std::string, double> heights; // where a box will be about, of those before
	std::vector<Column> columns;
	for (auto &[rank, names] : by_rank) {
		// Near to those who call.
		std::map<std::string, double> wish;
		for (std::string const &name : names) {
			double sum = 0, count = 0;
			for (auto const &[caller, called] : targets)
				if (called.contains(name) && heights.contains(caller)) {
					sum += heights[caller];
					++count;
				}
			wish[name] = count > 0 ? sum / count : 1e9;
		}
		std::ranges::sort(names, [&](std::string const &a, std::string const &b) {
			return std::tuple(wish[a], std::string_view(a)) <
				std::tuple(wish[b], std::string_view(b));
		});
		for (size_t i = 0; i < names.size(); ++i) {
			if (i % ROWS_MAX == 0) columns.emplace_back();
			columns.back().push_back(names[i]);
			heights[names[i]] = static_cast<double>(i) / static_cast<double>(names.size());
		}
	}
	return columns;
}

void Layout::_place(Composition const &composition, std::vector<Column> const &columns)
{
	double x = MARGIN;
	std::vector<double> heights;
	for (size_t i = 0; i < columns.size(); ++i) {
		double y = 0, width = WIDTH_MIN;
		for (std::string const &name : columns[i]) {
			Composition::Node const &node = composition.nodes.at(name);
			size_t const services = std::min(node.services.size(), SERVICES_SHOWN + 1);
			double const height = PADDING * 2 + LINE * static_cast<double>(2 + services);
			width = std::max(
				width, PADDING * 2 + LETTER * static_cast<double>(longest_line(name, node)));
			_boxes[name] = {x, y, 0, height, i};
			y += height + GAP_Y;
		}
		for (std::string const &name : columns[i]) _boxes[name].width = width;
		heights.push_back(y - GAP_Y);
		_height = std::max(_height, y - GAP_Y);
		x += width + GAP_X;
	}
	for (size_t i = 0; i < columns.size(); ++i)
		for (std::string const &name : columns[i])
			_boxes[name].y += HEADING + MARGIN + (_height - heights[i]) / 2;
	_width = std::max(420.0, x - GAP_X + MARGIN + 60);
	_height += HEADING + 2 * MARGIN + LINE;
}

Layout::Layout(Composition const &composition) { _place(composition, _columns(composition)); }

Layout::Arrow Layout::arrow(Composition::Ends const &ends, unsigned lane) const
{
	Box const &from = _boxes.at(ends.first);
	Box const &to = _boxes.at(ends.second);
	double const shift = (lane % 2 ? 1 : -1) * LANE * ((lane + 1) / 2 + 0.5);
	auto const within = [&](Box const &box) {
		return std::clamp(box.middle() + shift, box.y + 4, box.y + box.height - 4);
	};
	Arrow arrow{};
	double bend = 0;
	if (from.column == to.column) {
		// Around, on the right; to itself it needs some height.
		double const apart = &from == &to ? from.height / 3 : 0;
		arrow.from = {from.x + from.width, within(from) - apart};
		arrow.to = {to.x + to.width, within(to) + apart};
		bend = 70;
		arrow.bend_to = {arrow.to.x + bend, arrow.to.y};
	} else if (from.column < to.column) {
		arrow.from = {from.x + from.width, within(from)};
		arrow.to = {to.x, within(to)};
		bend = std::max(60.0, (arrow.to.x - arrow.from.x) / 2);
		arrow.bend_to = {arrow.to.x - bend, arrow.to.y};
	} else {
		arrow.from = {from.x, within(from)};
		arrow.to = {to.x + to.width, within(to)};
		bend = -std::max(60.0, (arrow.from.x - arrow.to.x) / 2);
		arrow.bend_to = {arrow.to.x - bend, arrow.to.y};
	}
	arrow.bend_from = {arrow.from.x + bend, arrow.from.y};
	auto const middle = [](double a, double b, double c, double d) {
		return (a + 3 * b + 3 * c + d) / 8;
	};
	arrow.label = {middle(arrow.from.x, arrow.bend_from.x, arrow.bend_to.x, arrow.to.x),
		middle(arrow.from.y, arrow.bend_from.y, arrow.bend_to.y, arrow.to.y)};
	return arrow;
}

} // namespace bulkhead::tool
