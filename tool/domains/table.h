#pragma once

// Rows of words in aligned columns, and numbers as people read them.

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::tool {

class Table
{
public:
	enum class Side : uint8_t { LEFT, RIGHT };

	struct Column
	{
		std::string title;
		Side side = Side::LEFT;
	};

private:
	std::vector<Column> _columns;
	std::vector<std::vector<std::string>> _rows{};

public:
	explicit Table(std::vector<Column> columns) : _columns(std::move(columns)) {}

	/* As many cells as there are columns. */
	void add(std::vector<std::string> row) { _rows.push_back(std::move(row)); }
	bool empty() const { return _rows.empty(); }

	/* With the titles; no blanks at the ends of lines. */
	std::string text() const;
};

/* "17 s", "3 min", "5 h", "12 d" */
std::string duration_text(uint64_t us);

/* "512 B", "1.5 MiB" */
std::string size_text(uint64_t bytes);

} // namespace bulkhead::tool
