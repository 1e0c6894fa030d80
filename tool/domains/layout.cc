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

/* The longest way to each; a way that comes back to itself counts up to there. */
std::map<std::string, size_t> ranks_of(Composition const &composition)
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

/* What stands for an arrow in a column that it crosses; no domain is called so. */
std::string gap_name(Composition::Ends const &ends) { return ends.first + ">" + ends.second; }

using Columns = std::vector<std::vector<std::string>>;

/* Domains by their ranks, a part of them in a column of its own where there are many. */
Columns boxes_in_columns(Composition const &composition)
{
	std::map<size_t, std::vector<std::string>> by_rank;
	for (auto const &[name, rank] : ranks_of(composition)) by_rank[rank].push_back(name);
	Columns columns;
	for (auto const &[rank, names] : by_rank)
		for (size_t i = 0; i < names.size(); ++i) {
			if (i % Layout::ROWS_MAX == 0) columns.emplace_back();
			columns.back().push_back(names[i]);
		}
	return columns;
}

/* `shift`: how far from the middle. */
Layout::Leg leg(Layout::Box const &from, Layout::Box const &to, double shift, bool to_itself)
{
	auto const within = [&](Layout::Box const &box) {
		double const border = std::min(4.0, box.height / 2);
		return std::clamp(box.middle() + shift, box.y + border, box.y + box.height - border);
	};
	double const apart = to_itself ? from.height / 3 : 0;
	double const y0 = within(from) - apart, y1 = within(to) + apart;
	if (from.column == to.column) { // around, on the right
		double const x0 = from.x + from.width, x1 = to.x + to.width;
		return {{x0, y0}, {x0 + 70, y0}, {x1 + 70, y1}, {x1, y1}};
	}
	bool const forward = from.column < to.column;
	double const x0 = forward ? from.x + from.width : from.x;
	double const x1 = forward ? to.x : to.x + to.width;
	double const bend = (x1 - x0) / 2;
	return {{x0, y0}, {x0 + bend, y0}, {x1 - bend, y1}, {x1, y1}};
}

/* Brings each column into an order in which what is connected lies near to each other. */
void order(Columns &columns, std::map<std::string, std::set<std::string>> const &left_of)
{
	std::map<std::string, double> heights; // where a box will be about, of those before
	for (auto &names : columns) {
		std::map<std::string, double> wish;
		for (std::string const &name : names) {
			double sum = 0, count = 0;
			if (auto const found = left_of.find(name); found != left_of.end())
				for (std::string const &other : found->second)
					if (auto const height = heights.find(other); height != heights.end()) {
						sum += height->second;
						++count;
					}
			wish[name] = count > 0 ? sum / count : 1;
		}
		std::ranges::sort(names, [&](std::string const &a, std::string const &b) {
			return std::tuple(wish[a], std::string_view(a)) <
				std::tuple(wish[b], std::string_view(b));
		});
		for (size_t i = 0; i < names.size(); ++i)
			heights[names[i]] = (static_cast<double>(i) + 0.5) / static_cast<double>(names.size());
	}
}

} // namespace

std::vector<Layout::Column> Layout::_columns(Composition const &composition)
{
	std::vector<Column> columns = boxes_in_columns(composition);
	std::map<std::string, size_t> column_of;
	for (size_t i = 0; i < columns.size(); ++i)
		for (std::string const &name : columns[i]) column_of[name] = i;
	std::map<std::string, std::set<std::string>> left_of;
	for (auto const *calls : {&composition.calls, &composition.refusals})
		for (auto const &[ends, services] : *calls) {
			if (_gaps.contains(ends)) continue;
			size_t const from = column_of[ends.first], to = column_of[ends.second];
			bool const forward = from <= to;
			std::string before = forward ? ends.first : ends.second;
			for (size_t i = std::min(from, to) + 1; i < std::max(from, to); ++i) {
				columns[i].push_back(gap_name(ends));
				_gaps[ends];
				left_of[gap_name(ends)].insert(before);
				before = gap_name(ends);
			}
			left_of[forward ? ends.second : ends.first].insert(before);
		}
	order(columns, left_of);
	return columns;
}

void Layout::_place(Composition const &composition, std::vector<Column> const &columns)
{
	double x = MARGIN;
	std::vector<double> heights;
	std::map<std::pair<size_t, std::string>, Box> gaps;
	for (size_t i = 0; i < columns.size(); ++i) {
		double y = 0, width = WIDTH_MIN;
		for (std::string const &name : columns[i]) {
			auto const found = composition.nodes.find(name);
			if (found == composition.nodes.end()) {
				gaps[{i, name}] = {x, y, 0, LINE, i};
				y += LINE + GAP_Y;
				continue;
			}
			Composition::Node const &node = found->second;
			size_t const services = std::min(node.services.size(), SERVICES_SHOWN + 1);
			double const height = PADDING * 2 + LINE * static_cast<double>(2 + services);
			width = std::max(
				width, PADDING * 2 + LETTER * static_cast<double>(longest_line(name, node)));
			_boxes[name] = {x, y, 0, height, i};
			y += height + GAP_Y;
		}
		for (std::string const &name : columns[i])
			(composition.nodes.contains(name) ? _boxes[name] : gaps[{i, name}]).width = width;
		heights.push_back(y - GAP_Y);
		_height = std::max(_height, y - GAP_Y);
		x += width + GAP_X;
	}
	auto const lower = [&](Box &box) {
		box.y += HEADING + MARGIN + (_height - heights[box.column]) / 2;
	};
	for (auto &[name, box] : _boxes) lower(box);
	for (auto &[name, box] : gaps) lower(box);
	for (auto &[ends, boxes] : _gaps) {
		for (size_t i = 0; i < columns.size(); ++i)
			if (auto const gap = gaps.find({i, gap_name(ends)}); gap != gaps.end())
				boxes.push_back(gap->second);
		if (_boxes[ends.first].column > _boxes[ends.second].column) std::ranges::reverse(boxes);
	}
	_width = std::max(420.0, x - GAP_X + MARGIN + 60);
	_height += HEADING + 2 * MARGIN + LINE;
}

Layout::Layout(Composition const &composition) { _place(composition, _columns(composition)); }

Layout::Arrow Layout::arrow(Composition::Ends const &ends, unsigned lane) const
{
	std::vector<Box> stations{_boxes.at(ends.first)};
	if (auto const gaps = _gaps.find(ends); gaps != _gaps.end())
		stations.insert(stations.end(), gaps->second.begin(), gaps->second.end());
	stations.push_back(_boxes.at(ends.second));
	double const shift = (lane % 2 ? 1 : -1) * LANE * ((lane + 1) / 2 + 0.5);
	Arrow arrow;
	for (size_t i = 0; i + 1 < stations.size(); ++i)
		arrow.legs.push_back(leg(stations[i], stations[i + 1], shift, ends.first == ends.second));
	auto const middle = [](double a, double b, double c, double d) {
		return (a + 3 * b + 3 * c + d) / 8;
	};
	Leg const &labelled = arrow.legs.front();
	arrow.label = {middle(labelled.from.x, labelled.bend_from.x, labelled.bend_to.x, labelled.to.x),
		middle(labelled.from.y, labelled.bend_from.y, labelled.bend_to.y, labelled.to.y)};
	return arrow;
}

} // namespace bulkhead::tool
