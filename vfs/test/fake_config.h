#pragma once

// A configuration that a test writes down.

#include "vfs/config.h"

#include <map>
#include <string>
#include <variant>
#include <vector>

namespace bulkhead::vfs {

class Fake_config final : public Config
{
public:
	using List = std::vector<std::string>;
	using Value = std::variant<std::string, int64_t, bool, List, double>;

private:
	std::map<std::string, Value, std::less<>> _values;

	static Config_value _seen(Value const &value)
	{
		using Held = Config_value::Type;
		if (auto const *text = std::get_if<std::string>(&value))
			return {.type = Held::TEXT, .text = *text};
		if (auto const *number = std::get_if<int64_t>(&value))
			return {.type = Held::NUMBER, .number = *number};
		if (auto const *boolean = std::get_if<bool>(&value))
			return {.type = Held::BOOLEAN, .boolean = *boolean};
		if (auto const *list = std::get_if<List>(&value))
			return {.type = Held::LIST, .items = list->size()};
		return {.type = Held::OTHER};
	}

public:
	Fake_config(std::initializer_list<std::pair<std::string const, Value>> values = {})
		: _values(values.begin(), values.end())
	{}

	Config_value value(std::string_view key) const override
	{
		auto const found = _values.find(key);
		return found == _values.end() ? Config_value() : _seen(found->second);
	}
	Config_value item(std::string_view key, size_t index) const override
	{
		List const &list = std::get<List>(_values.find(key)->second);
		return {.type = Config_value::Type::TEXT, .text = list.at(index)};
	}
	std::string_view key(size_t index) const override
	{
		if (index >= _values.size()) return {};
		return std::next(_values.begin(), static_cast<ptrdiff_t>(index))->first;
	}
};

} // namespace bulkhead::vfs
