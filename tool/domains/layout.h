#pragma once

// Where the boxes of a composition lie: in columns, callers left of those they call.

#include "tool/domains/graph.h"

namespace bulkhead::tool {

class Layout
{
public:
	static constexpr size_t SERVICES_SHOWN = 6;
	static constexpr size_t ROWS_MAX = 24; // a column with more becomes two

	struct Box
	{
		double x = 0, y = 0, width = 0, height = 0;
		size_t column = 0;

		double middle() const { return y + height / 2; }
	};

	struct Point
	{
		double x, y;
	};

	/* A curve from one column to the next one. */
	struct Leg
	{
		Point from, bend_from, bend_to, to;
	};

	/* From one box to another, past those between them, and where its label goes. */
	struct Arrow
	{
		std::vector<Leg> legs{};
		Point label{};
	};

private:
	/* Names of boxes, and of the gaps that arrows across a column go through. */
	using Column = std::vector<std::string>;

	std::map<std::string, Box> _boxes{};
	std::map<Composition::Ends, std::vector<Box>> _gaps{}; // in the order of their arrow
	double _width = 0, _height = 0;

	std::vector<Column> _columns(Composition const &composition);
	void _place(Composition const &composition, std::vector<Column> const &columns);

public:
	explicit Layout(Composition const &composition);

	double width() const { return _width; }
	double height() const { return _height; }
	std::map<std::string, Box> const &boxes() const { return _boxes; }

	/* `lane`: the how-manieth between the two, from 0 on. */
	Arrow arrow(Composition::Ends const &ends, unsigned lane) const;
};

} // namespace bulkhead::tool
