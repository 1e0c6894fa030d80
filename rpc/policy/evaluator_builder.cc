#include "rpc/policy/evaluator_builder.h"

namespace bulkhead::policy {

using Kind = Token::Kind;

Attempt<void> Token_rows::fill(
	Arena &arena, size_t rows, size_t tokens, std::span<Pair const> pairs)
{
	_words = (tokens + 63) / 64;
	_bits = TRY(arena.array<uint64_t>(rows * _words));
	_tokens = TRY(arena.array<uint32_t>(pairs.size()));
	_begins = TRY(arena.array<uint32_t>(rows + 1));
	for (Pair const &pair : pairs) ++_begins[pair.row + 1];
	for (size_t row = 0; row < rows; ++row) _begins[row + 1] += _begins[row];
	for (Pair const &pair : pairs) {
		_tokens[_begins[pair.row]++] = pair.token;
		_bits[pair.row * _words + pair.token / 64] |= uint64_t{1} << pair.token % 64;
	}
	// Each begin has moved to where the next row begins.
	for (size_t row = rows; row > 0; --row) _begins[row] = _begins[row - 1];
	_begins[0] = 0;
	return Ok{};
}

size_t Token_rows::longest() const
{
	size_t longest = 0;
	for (size_t row = 0; row + 1 < _begins.size(); ++row)
		longest = std::max<size_t>(longest, _begins[row + 1] - _begins[row]);
	return longest;
}

Evaluator_builder::Evaluator_builder(Evaluator &to)
	: _to(to),
	  _policy(to._policy),
	  _system(to._system),
	  _count(static_cast<uint32_t>(to._count)),
	  _pairs(to._arena.allocator())
{}

Attempt<void> Evaluator_builder::_pair(size_t row, size_t token)
{
	return _pairs.push_back({static_cast<uint32_t>(row), static_cast<uint32_t>(token)});
}

/* The domain that a UUID names, whether requests may use it or not. */
uint32_t Evaluator_builder::_with_uuid(Token const &token) const
{
	if (token.text == ADMIN_UUID) return _system.admin();
	if (_system.uuid_aliases()) return _system.find(token.text);
	for (uint32_t i = 0; i < _count; ++i)
		if (_system.domains()[i].uuid_text == token.text) return i;
	return NONE;
}

/* The domain of "@dispvm:NAME" or "@dispvm:uuid:…". */
uint32_t Evaluator_builder::_named(std::string_view value) const
{
	Token_result const named = parse_token(value, Position::REQUEST);
	if (named.token.kind == Kind::UUID) return _with_uuid(named.token);
	return _system.find(value);
}

bool Evaluator_builder::_in_class(Token const &token, Domain const &domain) const
{
	if (!domain.exists) return false;
	if (token.kind == Kind::TYPE) return domain.type == _system.type(token.value);
	if (token.kind == Kind::TAG) return domain.tagged(_system.tag(token.value));
	return false;
}

/* Rows 0 to count: domains by their names. */
Attempt<void> Evaluator_builder::_match_domains(Token const &token, size_t number)
{
	uint32_t const admin = _system.admin();
	switch (token.kind) {
	case Kind::NAME:
	case Kind::UUID: {
		uint32_t const domain =
			token.kind == Kind::NAME ? _system.find(token.text) : _with_uuid(token);
		if (domain != NONE) TRY(_pair(domain, number));
		break;
	}
	case Kind::ADMIN: TRY(_pair(admin, number)); break;
	case Kind::EVERY:
	case Kind::ANY:
		for (uint32_t i = 0; i < _count; ++i)
			if (token.kind == Kind::EVERY || i != admin) TRY(_pair(i, number));
		break;
	case Kind::TYPE:
	case Kind::TAG:
		for (uint32_t i = 0; i < _count; ++i)
			if (_in_class(token, _system.domains()[i])) TRY(_pair(i, number));
		break;
	default: break;
	}
	return Ok{};
}

/* Rows count to twice that: new disposables of each domain. */
Attempt<void> Evaluator_builder::_match_disposables(Token const &token, size_t number)
{
	if (token.kind == Kind::DISPOSABLE_OF) {
		uint32_t const domain = _named(token.value);
		if (domain != NONE) return _pair(_count + domain, number);
	}
	uint32_t const tag = _system.tag(token.value);
	for (uint32_t i = 0; i < _count; ++i) {
		Domain const &domain = _system.domains()[i];
		bool const tagged =
			token.kind == Kind::DISPOSABLE_TAG && domain.tagged(tag) && domain.template_for_dispvms;
		if (token.kind == Kind::EVERY || token.kind == Kind::ANY || tagged)
			TRY(_pair(_count + i, number));
	}
	return Ok{};
}

/* Rows from twice count + 2: @dispvm as each domain asks for it, at last as a stranger does. */
Attempt<void> Evaluator_builder::_match_default_disposables(Token const &token, size_t number)
{
	uint32_t const tag = _system.tag(token.value);
	for (uint32_t i = 0; i <= _count; ++i) {
		uint32_t const standard = i < _count ? _system.domains()[i].default_dispvm : NONE;
		bool matches =
			token.kind == Kind::EVERY || token.kind == Kind::ANY || token.kind == Kind::DISPOSABLE;
		if (standard != NONE) {
			Domain const &base = _system.domains()[standard];
			// As written: upstream takes the name only for the default template, not its UUID.
			matches = matches || (token.kind == Kind::DISPOSABLE_OF && token.value == base.name);
			matches = matches ||
				(token.kind == Kind::DISPOSABLE_TAG && base.tagged(tag) &&
					base.template_for_dispvms);
		}
		if (matches) TRY(_pair(2 * _count + 2 + i, number));
	}
	return Ok{};
}

Attempt<void> Evaluator_builder::_fill_sources()
{
	_pairs.truncate(0);
	size_t const stranger = _count;
	size_t const admin = _count + 1;
	uint32_t rows = _count + 2;
	std::span<Token const> const tokens = _policy.sources();
	for (size_t number = 0; number < tokens.size(); ++number) {
		Token const &token = tokens[number];
		TRY(_match_domains(token, number));
		if (token.kind == Kind::EVERY || token.kind == Kind::ANY) TRY(_pair(stranger, number));
		if (token.kind == Kind::EVERY || token.admin()) TRY(_pair(admin, number));
		bool const named = token.kind == Kind::NAME || token.kind == Kind::UUID;
		if (!named || _named(token.text) != NONE) continue;
		TRY(_to._strangers.insert(pair_key(static_cast<uint32_t>(number), 0), rows++));
	}
	// A stranger that a rule names matches what every stranger does, and that name.
	for (size_t number = 0; number < tokens.size(); ++number) {
		uint32_t const own = _to._strangers.find(pair_key(static_cast<uint32_t>(number), 0));
		if (own != NONE) TRY(_pair(own, number));
		bool const all = tokens[number].kind == Kind::EVERY || tokens[number].kind == Kind::ANY;
		for (uint32_t row = _count + 2; all && row < rows; ++row) TRY(_pair(row, number));
	}
	return _to._sources.fill(_to._arena, rows, tokens.size(), _pairs.view());
}

Attempt<void> Evaluator_builder::_fill_targets()
{
	_pairs.truncate(0);
	std::span<Token const> const tokens = _policy.targets();
	for (size_t number = 0; number < tokens.size(); ++number) {
		Token const &token = tokens[number];
		TRY(_match_domains(token, number));
		TRY(_match_disposables(token, number));
		TRY(_match_default_disposables(token, number));
		if (token.kind == Kind::EVERY || token.admin()) TRY(_pair(2 * _count, number));
		if (token.kind == Kind::EVERY || token.kind == Kind::ANY || token.kind == Kind::DEFAULT)
			TRY(_pair(2 * _count + 1, number));
	}
	return _to._targets.fill(_to._arena, 3 * _count + 3, tokens.size(), _pairs.view());
}

/* Which lanes match which source, for groups in which comparing them would take a while. */
Attempt<void> Evaluator_builder::_fill_masks()
{
	size_t const rows = _to._sources.rows();
	uint32_t const groups = static_cast<uint32_t>(_policy.groups());
	_to._masks_of_group = TRY(_to._arena.array<uint32_t>(groups));
	size_t masks = 0;
	for (uint32_t group = 0; group < groups; ++group) {
		size_t const lanes = _policy.lanes(group).size();
		bool const masked = lanes > Evaluator::FEW_LANES && lanes <= Evaluator::MANY_LANES;
		_to._masks_of_group[group] = masked ? static_cast<uint32_t>(masks) : NONE;
		if (masked) masks += rows;
	}
	if (masks >= NONE) return Error::OUT_OF_MEMORY;
	_to._masks = TRY(_to._arena.array<uint64_t>(masks));
	for (uint32_t group = 0; group < groups; ++group) {
		uint32_t const first = _to._masks_of_group[group];
		if (first == NONE) continue;
		std::span<Lane_head const> const heads = _policy.lane_heads(group);
		for (size_t row = 0; row < rows; ++row)
			for (size_t i = 0; i < heads.size(); ++i)
				_to._masks[first + row] |= uint64_t{_to._sources[row].has(heads[i].source)} << i;
	}
	return Ok{};
}

Destination Evaluator_builder::_destination(Token const &token, uint32_t number) const
{
	using To = Destination::Kind;
	bool const disposable = token.kind == Kind::DISPOSABLE_OF;
	std::string_view const name = disposable ? token.value : token.text;
	if (token.kind == Kind::ADMIN) return {.kind = To::ADMIN};
	if (token.kind == Kind::DISPOSABLE) return {.kind = To::DISPOSABLE};
	uint32_t const domain = _system.find(name);
	bool const there = domain != NONE && _system.domains()[domain].exists;
	if (!there || (disposable && !_system.domains()[domain].template_for_dispvms))
		return {.kind = To::UNKNOWN, .number = number};
	return {.kind = disposable ? To::DISPOSABLE_OF : To::DOMAIN,
		.by_uuid = name.starts_with(UUID_PREFIX),
		.number = domain};
}

void Evaluator_builder::_set(std::span<uint64_t> bits, size_t bit) const
{
	bits[bit / 64] |= uint64_t{1} << bit % 64;
}

/* What a word adds to what ask offers, or takes from it. */
void Evaluator_builder::_expand(Token const &token, std::span<uint64_t> bits) const
{
	std::span<Domain const> const domains = _system.domains();
	bool const all = token.kind == Kind::EVERY || token.kind == Kind::ANY;
	if (token.kind == Kind::ADMIN) _set(bits, _to._bit_of_admin());
	if (all || token.kind == Kind::DISPOSABLE) _set(bits, _to._bit_of_default_disposable());
	if (token.kind == Kind::NAME || token.kind == Kind::UUID) {
		uint32_t const domain = _system.find(token.text);
		if (domain != NONE && domains[domain].exists) _set(bits, domain);
	}
	if (token.kind == Kind::DISPOSABLE_OF) {
		uint32_t const domain = _system.find(token.value);
		if (domain != NONE && domains[domain].template_for_dispvms)
			_set(bits, _to._bit_of_disposable(domain));
	}
	uint32_t const tag = token.kind == Kind::DISPOSABLE_TAG ? _system.tag(token.value) : NONE;
	for (uint32_t i = 0; i < _count; ++i) {
		Domain const &domain = domains[i];
		if (!domain.exists) continue;
		bool const any = token.kind == Kind::ANY && !domain.admin;
		if (any || token.kind == Kind::EVERY || _in_class(token, domain)) _set(bits, i);
		if (domain.template_for_dispvms && (all || (tag != NONE && domain.tagged(tag))))
			_set(bits, _to._bit_of_disposable(i));
	}
}

void Evaluator_builder::_add_offers(uint32_t group, Lane const &lane)
{
	size_t const words = _to._words;
	for (Offer const &offer : _policy.offers(lane)) {
		if (offer.denies) continue;
		for (size_t word = 0; word < words; ++word)
			_to._offerable[group * words + word] |= _to._expansions[offer.target * words + word];
	}
}

Attempt<void> Evaluator_builder::_fill_choices()
{
	Arena &arena = _to._arena;
	size_t const words = _to._words;
	std::span<Token const> const tokens = _policy.targets();
	_to._destinations = TRY(arena.array<Destination>(tokens.size()));
	_to._expansions = TRY(arena.array<uint64_t>(tokens.size() * words));
	_to._offerable = TRY(arena.array<uint64_t>(_policy.groups() * words));
	_to._hidden = TRY(arena.array<uint64_t>(words));
	_to._undecided = TRY(arena.array<uint64_t>(words));
	_to._offered = TRY(arena.array<uint64_t>(words));
	for (uint32_t i = 0; i < tokens.size(); ++i) {
		_to._destinations[i] = _destination(tokens[i], i);
		_expand(tokens[i], _to._expansions.subspan(i * words, words));
	}
	for (uint32_t group = 0; group < _policy.groups(); ++group)
		for (Lane const &lane : _policy.lanes(group)) _add_offers(group, lane);
	for (uint32_t i = 0; i < _count; ++i)
		if (_system.domains()[i].internal) _set(_to._hidden, i);
	_to._cursors = TRY(arena.array<Evaluator::Cursor>(3 * _to._sources.longest()));
	return Ok{};
}

Attempt<void> Evaluator_builder::build()
{
	TRY(_fill_sources());
	TRY(_fill_targets());
	TRY(_fill_masks());
	return _fill_choices();
}

} // namespace bulkhead::policy
