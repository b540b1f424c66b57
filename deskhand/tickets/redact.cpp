#include "deskhand/tickets/redact.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "deskhand/base/error.h"
#include "deskhand/tickets/pattern.h"
#include "deskhand/tickets/redact_checks.h"
#include "deskhand/tickets/redact_names.h"

namespace deskhand {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
// Of any script: bytes beyond ASCII count as letters.
bool is_word(char c) {
  return is_digit(c) || is_letter(c) || static_cast<unsigned char>(c) >= 0x80;
}

std::string digits_of(std::string_view text) {
  std::string digits;
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits), is_digit);
  return digits;
}

std::string compact(std::string_view text) {  // letters and digits, in upper case
  std::string out;
  for (const char c : text)
    if (is_digit(c) || is_letter(c)) out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return out;
}

// The lengths of the groups of digits in it: "06 12 34" is {2, 2, 2}.
std::vector<std::size_t> groups_of(std::string_view text) {
  std::vector<std::size_t> groups;
  bool inside = false;
  for (const char c : text) {
    if (is_digit(c)) {
      if (!inside) groups.push_back(0);
      ++groups.back();
    }
    inside = is_digit(c);
  }
  return groups;
}

// What stands before `at`, at most `most` bytes, on the same line and the one above.
std::string_view before(std::string_view text, std::size_t at, std::size_t most) {
  std::size_t begin = at > most ? at - most : 0;
  return text.substr(begin, at - begin);
}

constexpr std::string_view kUkPost =
    R"((?:AB|AL|B|BA|BB|BD|BH|BL|BN|BR|BS|BT|CA|CB|CF|CH|CM|CO|CR|CT|CV|CW|DA|DD|DE|DG|DH|DL|DN|DT|DY|E|EC|EH|EN|EX|FK|FY|G|GL|GU|GY|HA|HD|HG|HP|HR|HS|HU|HX|IG|IM|IP|IV|JE|KA|KT|KW|KY|L|LA|LD|LE|LL|LN|LS|LU|M|ME|MK|ML|N|NE|NG|NN|NP|NR|NW|OL|OX|PA|PE|PH|PL|PO|PR|RG|RH|RM|S|SA|SE|SG|SK|SL|SM|SN|SO|SP|SR|SS|ST|SW|SY|TA|TD|TF|TN|TQ|TR|TS|TW|UB|W|WA|WC|WD|WF|WN|WR|WS|WV|YO|ZE)\d[A-Z\d]?[ ]?\d[ABD-HJLNP-UW-Z]{2}(?![\p{L}\p{N}]))";

// Town and post code behind a street, in the forms of the countries: only with the code, a town alone could be any word.
std::string post_tail() {
  return std::string(R"((?:(?:,?[ ]+\p{Lu}[\p{L}'’.-]+(?:[ ]\p{Lu}[\p{L}'’.-]+){0,3}){0,2},?[ ]+(?:)") + std::string(kUkPost) +
         R"(|[A-Z]{2}[ ]\d{5}(?:-\d{4})?|\d{3}[ ]\d{2})(?!\d)|,?[ ]+(?:[A-Z]{1,2}-)?\d{4,5}(?:[ ][A-Z]{2})?[ ]+(?:St\.?[ ])?\p{Lu}[\p{L}'’.-]+(?:[ ](?:am|an[ ]der|im|in[ ]der|ob[ ]der|bei|sur|les|lès|de|la|a\.?[ ]?d\.?)[ ]\p{Lu}[\p{L}'’.-]+)?(?:[ ]Cedex(?:[ ]\d{1,2})?)?))";
}

std::string british_street() {
  return R"((?-i)(?<![\p{L}\p{N}.,/#-])(?:(?:Flat|Unit|Apartment|Apt\.?|Suite)[ ]\w{1,5},?[ ]+|\p{Lu}[\p{L}'’-]+[ ](?:Cottage|House|Farm|Lodge|Barn),[ ]+)?\d{1,5}[A-Za-z]?(?:[ ]?[-–][ ]?\d{1,4}[a-z]?)?,?[ ]+(?:[NSEW]\.?[ ]+)?(?:\p{Lu}[\p{L}'’.-]*[ ]+){1,4}(?:Street|St|Road|Rd|Lane|Ln|Avenue|Ave|Drive|Dr|Close|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Crescent|Gardens|Grove|Hill|Row|Mews|Walk|Wharf|Boulevard|Blvd|Parkway|Pkwy|Highway|Hwy|Quay|Green|Rise)\b\.?(?:)" +
         post_tail() + ")?";
}
std::string german_street() {
  return R"((?-i)(?<![\p{L}\p{N}-])(?:(?:\p{Lu}[\p{L}.-]*(?:straße|strasse|str\.|weg|allee|gasse|gässchen|damm|ufer|steig|pfad|chaussee|twiete|stieg|promenade|straat|laan|gracht|kade)|(?:\p{Lu}[\p{L}.-]+[ ]){1,2}(?:Straße|Strasse|Str\.|Weg|Allee|Gasse|Damm|Ufer|Chaussee))[ ]\d{1,4}[ ]?[a-z]?(?![\p{L}\p{N}])(?:[ ]?[-–/][ ]?\d{1,4}[a-z]?(?![\p{L}\p{N}]))?(?:)" +
         post_tail() +
         R"()?|(?:(?:Am|An[ ]der|An[ ]den|Im|In[ ]der|Auf[ ]de[mr]|Zum|Zur|Unter[ ]den|Bei[ ]de[rnm]|Vor[ ]de[rnm]|Hinter[ ]de[rnm]|Alte[rn]?|Neue[rn]?|Lange|Große[rn]?|Kleine[rn]?)[ ](?:\p{Lu}[\p{L}-]+[ ]){1,3}|\p{Lu}[\p{L}-]*(?:platz|markt|hof|ring|park|berg|wall|graben|kamp|zeile|brücke|plein|dijk)[ ])\d{1,4}[ ]?[a-z]?(?![\p{L}\p{N}])(?:)" +
         post_tail() + "))";
}
std::string french_street() {
  return R"((?<![\p{L}\p{N}.,/#-])(?:\d{1,4}(?:[ ](?:bis|ter|quater))?,?[ ](?:rue|avenue|av\.|boulevard|bd|place|chemin|allée|impasse|quai|cours|route|rte|square|passage|faubourg|lotissement)[ ](?:(?:de[ ]la|de[ ]l['’]|des?|du|la|les?|l['’]|d['’])[ ]?)?(?-i:\p{L}[\p{L}'’.-]*(?:[ ](?:(?:de[ ]la|des?|du|la|les?|et|en)[ ])?\p{Lu}[\p{L}'’-]*){0,4})|(?-i:Rue|Avenue|Chemin|Place|Route|Via|Viale|Piazza|Corso|Calle|Avenida|Plaza|Rua|Largo)[ ](?:(?:de[ ]la|de[ ]l['’]|des?|du|della|dei|la|les?|l['’]|d['’])[ ]?)?(?-i:\p{Lu}[\p{L}'’-]*(?:[ ](?:(?:de|del|du|della)[ ])?\p{Lu}[\p{L}'’-]*){0,3}),?[ ]\d{1,4}(?![\p{N}]))(?-i:)" +
         post_tail() + ")?";
}
std::string post_box() {
  return R"((?<![\p{L}\p{N}])(?:p\.?[ ]?o\.?[ ]?box|postfach|(?-i:BP|B\.P\.)|bo(?:î|i)te postale|casella postale|apartado)[ ]\d[\d ]{1,9}(?-i:(?:)" +
         post_tail() + R"(|,?[ ]+\p{Lu}[\p{L}'’-]+[ ]\d{4,5})?))";
}
std::string post_code() {  // alone only in its two halves: S16LE is anything
  std::string code(kUkPost);
  code.replace(code.find("[ ]?\\d[ABD"), 4, "[ ]");
  return R"((?-i)(?<![\p{L}\p{N}-])(?:\p{Lu}[\p{L}'’-]+,?[ ]+)?)" + code;
}
std::string town_line() {
  return R"((?-i)^(?:[A-Z]{1,2}-)?\d{5}[ ]\p{Lu}[\p{L}'’.-]+(?:[ ][\p{L}'’.-]+){0,3}$)";
}

// Dialling codes and how many digits follow them.
struct DialCode {
  std::string_view code;
  int least, most;
};
constexpr DialCode kDialCodes[] = {
    {"1", 10, 10},  {"7", 10, 10},  {"20", 8, 10},  {"27", 9, 9},  {"30", 10, 10}, {"31", 9, 9},   {"32", 8, 9},  {"33", 9, 9},
    {"34", 9, 9},   {"36", 8, 9},   {"39", 8, 11},  {"40", 9, 9},  {"41", 9, 9},   {"43", 7, 13},  {"44", 9, 10}, {"45", 8, 8},
    {"46", 7, 10},  {"47", 8, 8},   {"48", 9, 9},   {"49", 6, 12}, {"52", 10, 11}, {"55", 10, 11}, {"60", 8, 10}, {"61", 9, 9},
    {"62", 8, 12},  {"63", 8, 10},  {"64", 8, 10},  {"65", 8, 8},  {"66", 8, 9},   {"81", 9, 10},  {"82", 8, 10}, {"84", 9, 10},
    {"86", 10, 11}, {"90", 10, 10}, {"91", 10, 10}, {"92", 9, 10}, {"94", 9, 9},   {"98", 10, 10}, {"212", 9, 9}, {"213", 8, 9},
    {"216", 8, 8},  {"351", 9, 9},  {"352", 5, 9},  {"353", 7, 9}, {"354", 7, 7},  {"356", 8, 8},  {"357", 8, 8}, {"358", 6, 10},
    {"359", 8, 9},  {"370", 8, 8},  {"371", 8, 8},  {"372", 7, 8}, {"380", 9, 9},  {"381", 8, 9},  {"385", 8, 9}, {"386", 8, 8},
    {"387", 8, 9},  {"420", 9, 9},  {"421", 9, 9},  {"423", 7, 9}, {"852", 8, 8},  {"971", 8, 9},  {"972", 8, 9}, {"966", 9, 9},
    {"234", 7, 10}, {"254", 9, 9},  {"233", 9, 9},  {"961", 7, 8}, {"974", 8, 8}};

// How many digits a number after + or 00 may have; nothing: no country dials so.
std::optional<std::pair<std::size_t, std::size_t>> dial_lengths(std::string_view digits) {
  for (const std::size_t length : {3, 2, 1}) {
    for (const auto& one : kDialCodes)
      if (one.code.size() == length && digits.starts_with(one.code))
        return std::pair(length + static_cast<std::size_t>(one.least), length + static_cast<std::size_t>(one.most));
  }
  return std::nullopt;
}

std::string upper_mark(std::string_view name) {
  std::string mark;
  for (const char c : name) mark += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return mark;
}

}  // namespace

std::string_view name_of(PersonalKind kind) {
  constexpr std::array<std::string_view, kPersonalKinds> kNames = {"email",      "phone", "iban",        "card",    "ip",   "mac",
                                                                   "credential", "vat",   "national_id", "address", "name", "custom"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view mark_of(PersonalKind kind) {
  constexpr std::array<std::string_view, kPersonalKinds> kMarks = {"EMAIL",      "PHONE", "IBAN",        "CARD",    "IP",   "MAC",
                                                                   "CREDENTIAL", "VAT",   "NATIONAL_ID", "ADDRESS", "NAME", "CUSTOM"};
  return kMarks[static_cast<std::size_t>(kind)];
}

std::vector<std::string> personal_kind_names() {
  std::vector<std::string> names;
  for (std::size_t kind = 0; kind + 1 < kPersonalKinds; ++kind) names.emplace_back(name_of(static_cast<PersonalKind>(kind)));
  return names;
}

RedactSettings RedactSettings::all() {
  RedactSettings settings;
  settings.kinds.fill(true);
  return settings;
}

bool RedactSettings::any() const {
  return !patterns.empty() || std::any_of(kinds.begin(), kinds.end() - 1, [](bool on) { return on; });
}

struct Redactor::Rules {
  explicit Rules(RedactSettings given) : settings(std::move(given)), names(settings.names, settings.keep) {
    for (const auto& [mark, expression] : settings.patterns) {
      const bool plain = !mark.empty() && mark.front() != '_' &&
                         std::all_of(mark.begin(), mark.end(), [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
      if (!plain) throw Error(ExitCode::kUsage, "redact.patterns: a mark cannot be called '{}'; wanted are capital letters and '_'", mark);
      if (const auto fault = pattern_fault(expression); !fault.empty())
        throw Error(ExitCode::kUsage, "redact.patterns.{}: {} is no regular expression: {}", mark, expression, fault);
      custom.emplace_back(expression);
    }
  }
  bool on(PersonalKind kind) const { return settings.kinds[static_cast<std::size_t>(kind)]; }

  RedactSettings settings;
  NameFinder names;
  std::vector<Pattern> custom;

  Pattern mark{R"(\[[A-Z][A-Z_]{1,30}_\d{1,6}\])"};
  Pattern redacted{R"(\[REDACTED[^\]\n]*\])"};
  Pattern userinfo{R"(\b[a-z][a-z0-9+.-]{1,30}://\K[^\s/@:<>"']{1,64}:[^\s@<>"'/]{1,128}(?=@))"};
  Pattern url_key{
      R"([?&;](?:access_?token|id_?token|token|api_?key|auth|key|password|passwd|pwd|pw|secret|sig|signature|session(?:_?id)?)=\K[^\s&#;"'<>()]{4,})"};
  Pattern setting_key{R"(\b(?:password|passwd|pwd|passwort|kennwort|secret|api[_-]?key|accountkey|sharedaccesskey)=\K[^\s;"'&<>]{4,})"};
  Pattern url{R"(\b[a-z][a-z0-9+.-]{1,20}://[^\s<>"']+|\bwww\.[^\s<>"']+)"};
  Pattern email{
      R"((?<![\p{L}\p{N}._%+-])[\p{L}\p{N}_][\p{L}\p{N}._%+'-]{0,63}(?:@|[ ]?[\[({](?:at|ät)[\])}][ ]?)(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?(?:\.|[ ]?[\[({](?:dot|punkt|point)[\])}][ ]?)){1,8}\p{L}{2,24}(?![\p{L}\p{N}_-]))"};
  Pattern file_ending{R"(\.(?:png|jpe?g|gif|svg|webp|bmp|ico|pdf|docx?|xlsx?|zip|exe|dll|js|css|html?|xml|json|log|txt|csv)$)"};
  Pattern mac{
      R"((?<![\p{L}\p{N}])(?<![0-9A-F][:-])(?:(?:[0-9A-F]{2}:){5}[0-9A-F]{2}|(?:[0-9A-F]{2}-){5}[0-9A-F]{2}|[0-9A-F]{4}\.[0-9A-F]{4}\.[0-9A-F]{4})(?![\p{L}\p{N}]|[:-][0-9A-F]))"};
  Pattern network_word{R"(\bmac\b|\bvlan\b|\barp\b|\bport\b|ethernet)"};
  Pattern ip4{R"((?<![\p{L}\p{N}.])(?:\d{1,3}\.){3}\d{1,3}(?![\p{L}\p{N}]|\.\d))"};
  Pattern version_word{
      R"((?:version|vers|ver|\bv|build|release|rev|revision|firmware|fw|bios|patch|opatch|update|upgrade|rollup|agent|client|driver|treiber|stand|os)\.?[ ]*(?:to|auf|from|von|nr\.?|no\.?|:|=)?[ ]*$)"};
  Pattern address_word{
      R"((?:\bip\b|\bips\b|ipv4|address|adresse|host|from|to|von|nach|ping|server|http|https|ftp|gateway|dns|proxy|router|switch|node|client ip|subnet|netz|network|=|@|\(|\[|-> ?|→ ?)[^\d\n]{0,12}$)"};
  Pattern ip6{R"((?<![\p{L}\p{N}:.])(?:[0-9A-F]{0,4}:){2,7}[0-9A-F]{0,4}(?![\p{L}\p{N}:]))"};
  Pattern insurance{
      R"((?-i)(?<![\p{L}\p{N}])(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D](?![\p{L}\p{N}]))"};
  Pattern insurance_small{
      R"(\b(?:nino|ni\b|national insurance)[^\n\d]{0,30}\b\K[a-z]{2}[ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[a-d](?![\p{L}\p{N}]))"};
  Pattern pension{R"((?<![\p{L}\p{N}])\d{2}[ ]?\d{6}[ ]?[A-Z][ ]?\d{3}(?![\p{L}\p{N}]))"};
  Pattern french_id{R"((?<![\p{L}\p{N}])[12][ ]?\d{2}[ ]?\d{2}[ ]?\d[\dAB][ ]?\d{3}[ ]?\d{3}[ ]?\d{2}(?![\p{L}\p{N}]))"};
  Pattern belgian_id{R"((?<![\p{L}\p{N}])\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}(?![\p{L}\p{N}]))"};
  Pattern austrian_id{R"((?:sv(?:nr)?|sozialversicherung\w*|versicherung\w*)\b[^\n\d]{0,20}\K\d{4}[ ]?\d{6}(?!\d))"};
  Pattern dutch_id{R"(\b(?:bsn|burgerservicenummer|sofi\w*)\b[^\n\d]{0,12}\K\d{9}(?!\d))"};
  Pattern italian_id{R"((?<![\p{L}\p{N}])[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?![\p{L}\p{N}]))"};
  Pattern spanish_id{R"((?-i)(?<![\p{L}\p{N}-])[XYZ\d]-?\d{7}-?[A-Z](?![\p{L}\p{N}]))"};
  Pattern vat_word{R"(\bvat\b|\bust\b|ust-?id|\buid\b|\btva\b|\bbtw\b|\biva\b|\bnip\b|\bmoms\b|mwst|\btax\b|steuer|fiscal)"};
  Pattern bare_vat{
      R"(\b(?:vat|mwst|ust-?id\w*|uid|nip|partita iva|p\.?[ ]?iva|tva|btw)\b[^\n\d]{0,25}?(?<![\p{L}\p{N}])\K\d[\d .-]{7,16}\d(?![\p{L}\p{N}]))"};
  Pattern card{R"((?<![\p{L}\p{N}.,-])\d(?:[ -]?\d){11,22}(?![\p{L}\p{N}]))"};
  Pattern card_word{R"(card|karte|carte|carta|tarjeta|visa|master|amex|kredit|credit|debit|paiement)"};
  Pattern date{
      R"((?<!\d)(?:\d{1,2}[./-]\d{1,2}[./-](?:19|20)?\d{2}|(?:19|20)\d{2}[./-]\d{1,2}[./-]\d{1,2})(?!\d|[./-]\d)|(?<![\d:])\d{1,2}:\d{2}(?::\d{2})?(?![\d:]))"};
  Pattern uuid{R"((?<![\p{L}\p{N}])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\p{L}\p{N}]))"};
  Pattern phone_plus{
      R"((?<![\p{L}\p{N}+])(?:\+[ ]?|00[ ]?(?=[1-9]))[1-9]\d{0,2}(?:[ ./–-]{0,3}(?:\(\d{1,5}\)|\d{1,12})){1,7}(?![\p{L}\p{N}]|[.,]\d))"};
  Pattern phone_zero{
      R"((?<![\p{L}\p{N}_.,/#+-])\(?0[1-9]\d{0,4}\)?(?:[ ]?[/–-][ ]?|[ .]|(?<=\)))\d{2,9}(?:[ ./-]\d{1,6}){0,5}(?![\p{L}\p{N}_]|[-–/][\p{L}\p{N}]|[.,]\d))"};
  Pattern phone_plain{R"((?<![\p{L}\p{N}_.,/#+-])0[1-9]\d{7,10}(?![\p{L}\p{N}_]|[-–/.][\p{L}\p{N}]|,\d))"};
  Pattern phone_us{
      R"((?<![\p{L}\p{N}_.,/#+-])(?:1[ .-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}(?![\p{L}\p{N}_]|[-–/.][\p{L}\p{N}]))"};
  Pattern phone_said{
      R"((?<![\p{L}\p{N}])(?:tel(?:efon|ephone|\.)?|tél\.?|téléphone|phone|fon|mobile?|handy|fax|cell|portable|gsm)(?:[ ]?(?:nr|no|number|nummer)\.?)?[ ]?(?:[:=][ ]*|is[ ]|ist[ ]|an[ ]|lautet[ ]|[ ])\K\(?\+?\d[\d ()/.–-]{1,20}\d(?![\p{L}\p{N}_]|[.,]\d))"};
  Pattern phone_in_record{R"(\b(?:number|nummer|numéro)[^\n\d]{0,20}\(\K\d{3}[ -]\d{4}(?:[ -]\d{1,4})?(?=\)))"};
  Pattern extension{
      R"((?<![\p{L}\p{N}])(?:ext|extn|extension|durchwahl|dw|nebenstelle|apparat|app\.|klappe|poste)\.?[ ]?:?[ ]*(?:bleibt|lautet|is|ist|no\.?|nr\.?)?[ ]*\K-?\d{3,6}(?![\p{L}\p{N}_]|[.,:/-]\d))"};
  Pattern phone_word{
      R"(tel\b|tel\.|telefon|téléphone|phone|mobil|handy|\bfax|call|\brang\b|\bring\b|reach|erreich|anruf|rückruf|rueckruf|durchwahl|appel|joindre|portable|\bgsm\b|\bcell\b|whatsapp|\bsms\b|hotline|voicemail|dial|wähl|apparat|anschluss|umleitung|my number|meine nummer|zentrale|unter)"};
  Pattern number_word{
      R"((?<!telefon)(?<!ruf)(?:nummer|nummern|number|numéro)\b|\bno\.|\bnr\b|nr\.|\bn°|\border|auftrag|rechnung|invoice|artikel|\bpart|kunden|customer|vertrag|contract|serial|\bs/n|asset|\bref|ticket|\bcase|beleg|\bdoc|konto\b|account|\bean|isbn|imei|\bcard|karte|code|charge|batch|\blot\b|zähler|\bjob|\bpo\b|bestell|material|iban|tracking|sendung|vorgang|\bfall\b|\baz\.|aktenz|\bid\b|\brow|zeile|\bkm\b|teamviewer|amazon|lizenz|licen[cs]e|idoc|stat|eur\b|betrag)"};
  std::vector<Pattern> addresses = [] {
    std::vector<Pattern> all;
    all.emplace_back(british_street());
    all.emplace_back(german_street());
    all.emplace_back(french_street());
    all.emplace_back(post_box());
    all.emplace_back(post_code());
    all.emplace_back(town_line());
    return all;
  }();
  Pattern no_street{
      R"(arbeitsplatz|speicherplatz|stellplatz|parkplatz|lagerplatz|postweg|dienstweg|umweg|rückweg|fertigungsstra|montagestra|packstra|seminarraum)"};
};

struct Redactor::Known {
  // What was found in a text of this ticket, with the words that were known then.
  struct Looked {
    std::vector<PersonalPlace> places;
    std::optional<std::string> redacted;
    std::size_t words = 0;
  };
  std::unordered_map<std::string, Looked> looked;
  std::vector<std::string> order;                                // of `words`, as they came
  std::unordered_set<std::string> words;                         // of names, folded
  std::vector<std::pair<std::vector<std::string>, int>> people;  // words, number
  std::map<std::pair<std::string, std::string>, int> numbers;    // (mark, key): its number
  std::map<std::string, int> next;                               // by mark
};

Redactor::Redactor(RedactSettings settings) : rules_(std::make_shared<Rules>(std::move(settings))), known_(std::make_unique<Known>()) {}
Redactor::~Redactor() = default;
Redactor::Redactor(Redactor&&) noexcept = default;
Redactor& Redactor::operator=(Redactor&&) noexcept = default;

void Redactor::begin_ticket() {
  *known_ = {};
  marks_.clear();
}

namespace {

// Looks for one text's places, kind after kind; what is found first keeps its bytes.
class Finder {
 public:
  explicit Finder(std::string_view text) : text_(text), taken_(text.size(), 0), shield_(text.size(), 0) {}

  std::string_view text() const { return text_; }
  std::span<const char> taken() const { return taken_; }
  bool is_free(std::size_t begin, std::size_t end, bool shielded = true) const {
    for (std::size_t i = begin; i < end; ++i)
      if (taken_[i] || (shielded && shield_[i])) return false;
    return end > begin;
  }
  void take(std::size_t begin, std::size_t end, PersonalKind kind, std::string key, std::size_t pattern = 0) {
    std::fill(taken_.begin() + static_cast<std::ptrdiff_t>(begin), taken_.begin() + static_cast<std::ptrdiff_t>(end), 1);
    places_.push_back({begin, end, kind, std::move(key), pattern});
  }
  void block(const Match& match) {
    std::fill(taken_.begin() + static_cast<std::ptrdiff_t>(match.begin), taken_.begin() + static_cast<std::ptrdiff_t>(match.end), 1);
  }
  void shield(const Match& match) {
    std::fill(shield_.begin() + static_cast<std::ptrdiff_t>(match.begin), shield_.begin() + static_cast<std::ptrdiff_t>(match.end), 1);
  }
  // Names look at one mask.
  std::vector<char> closed() const {
    std::vector<char> mask = taken_;
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = static_cast<char>(mask[i] | shield_[i]);
    return mask;
  }

  // visit(match) takes what it likes; the search goes on behind the match, or behind its first byte where it says false.
  template <class Visit>
  void each(const Pattern& pattern, Visit&& visit) const {
    std::size_t from = 0;
    while (from <= text_.size()) {
      const auto match = pattern.find(text_, from);
      if (!match) return;
      visit(*match);
      from = std::max(match->end, from + 1);
      while (from < text_.size() && (static_cast<unsigned char>(text_[from]) & 0xC0) == 0x80) ++from;
    }
  }
  std::string_view at(const Match& match) const { return text_.substr(match.begin, match.end - match.begin); }

  std::vector<PersonalPlace> places() && {
    std::sort(places_.begin(), places_.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
    return std::move(places_);
  }

 private:
  std::string_view text_;
  std::vector<char> taken_, shield_;
  std::vector<PersonalPlace> places_;
};

// From `at` on: letters and digits with single separators between, `wanted` of them. Where they end, 0 if there are fewer or more.
std::size_t take_signs(std::string_view text, std::size_t at, std::size_t wanted, std::string_view separators, std::string& signs) {
  signs.clear();
  while (at < text.size() && signs.size() < wanted) {
    const char c = text[at];
    if (is_digit(c) || is_letter(c)) {
      signs += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
      ++at;
    } else if (separators.find(c) != separators.npos && at + 1 < text.size() && is_word(text[at + 1]) && !signs.empty()) {
      ++at;
    } else {
      return 0;
    }
  }
  return signs.size() == wanted && (at >= text.size() || !is_word(text[at])) ? at : 0;
}

// Places where two letters and, a space between or not, a sign stand at a word's begin.
template <class Visit>
void each_country(std::string_view text, Visit&& visit) {
  for (std::size_t i = 0; i + 3 < text.size(); ++i) {
    if (!is_letter(text[i]) || !is_letter(text[i + 1]) || (i > 0 && is_word(text[i - 1]))) continue;
    const std::size_t rest = i + 2 + (text[i + 2] == ' ' || text[i + 2] == '-');
    if (rest < text.size() && (is_digit(text[rest]) || text[rest] == 'U' || is_letter(text[rest])))
      visit(i, compact(text.substr(i, 2)), rest, text[i] >= 'a');
  }
}

}  // namespace

void Redactor::know(const std::string& word) {
  if (known_->words.insert(word).second) known_->order.push_back(word);
}

// Every text of a ticket is looked at twice or more: again only where it has a word that came to be known since.
const std::vector<PersonalPlace>& Redactor::find(std::string_view text) {
  auto [at, is_new] = known_->looked.try_emplace(std::string(text));
  Known::Looked& looked = at->second;
  if (!is_new && looked.words < known_->order.size()) {
    const std::string folded = simple_fold(text);
    is_new = std::any_of(known_->order.begin() + static_cast<std::ptrdiff_t>(looked.words), known_->order.end(),
                         [&](const auto& word) { return folded.find(word) != std::string::npos; });
  }
  if (is_new) looked = {.places = search(text), .redacted = {}};
  looked.words = known_->order.size();
  return looked.places;
}

std::vector<PersonalPlace> Redactor::search(std::string_view text) const {
  const Rules& rules = *rules_;
  using Kind = PersonalKind;
  Finder finder(text);
  bool has_digit = false, has_colon = false, has_at = false, has_equals = false;
  std::size_t digits = 0;
  for (const char c : text) {
    digits += is_digit(c);
    has_colon = has_colon || c == ':';
    has_at = has_at || c == '@' || c == '(' || c == '[' || c == '{';
    has_equals = has_equals || c == '=';
  }
  has_digit = digits > 0;
  finder.each(rules.mark, [&](const Match& m) { finder.block(m); });
  finder.each(rules.redacted, [&](const Match& m) { finder.block(m); });
  for (std::size_t i = 0; i < rules.custom.size(); ++i)
    finder.each(rules.custom[i], [&](const Match& m) {
      if (finder.is_free(m.begin, m.end)) finder.take(m.begin, m.end, Kind::kCustom, simple_fold(finder.at(m)), i);
    });

  if (rules.on(Kind::kCredential)) {
    const auto take = [&](const Match& m) {
      if (finder.is_free(m.begin, m.end)) finder.take(m.begin, m.end, Kind::kCredential, std::string(finder.at(m)));
    };
    if (has_colon && has_at) finder.each(rules.userinfo, take);
    if (has_equals) finder.each(rules.url_key, take), finder.each(rules.setting_key, take);
  }
  if (rules.on(Kind::kEmail) && has_at) {
    finder.each(rules.email, [&](const Match& m) {
      const auto value = finder.at(m);
      const auto at = value.find('@');
      const bool versions = at != value.npos && at + 1 < value.size() && is_digit(value[at + 1]);
      const bool clone = value.starts_with("git@") && m.end < text.size() && text[m.end] == ':';
      if (!versions && !clone && !rules.file_ending.matches(value) && finder.is_free(m.begin, m.end))
        finder.take(m.begin, m.end, Kind::kEmail, simple_fold(value));
    });
  }

  if (has_digit) {
    if (rules.on(Kind::kMac)) {
      finder.each(rules.mac, [&](const Match& m) {
        const auto value = finder.at(m);
        const bool dotted = value.find('.') != value.npos;
        const bool plain = dotted && digits_of(value).size() == 12;  // could be a number in thousands
        if (plain && !rules.network_word.matches(before(text, m.begin, 40))) return;
        if (finder.is_free(m.begin, m.end)) finder.take(m.begin, m.end, Kind::kMac, compact(value));
      });
    }
    if (rules.on(Kind::kIp)) {
      if (has_colon) {
        finder.each(rules.ip6, [&](Match m) {
          while (m.end > m.begin && text[m.end - 1] == ':' && !(m.end - m.begin > 1 && text[m.end - 2] == ':')) --m.end;
          const std::string value(finder.at(m));
          std::array<unsigned char, 16> address{};
          if (value.size() == 23 && value.find("::") == value.npos) return;  // eight groups of two are a serial number
          if (value.size() < 4 || digits_of(value).empty() || inet_pton(AF_INET6, value.c_str(), address.data()) != 1) return;
          if (finder.is_free(m.begin, m.end)) finder.take(m.begin, m.end, Kind::kIp, std::string(address.begin(), address.end()));
        });
      }
      finder.each(rules.ip4, [&](const Match& m) {
        std::array<int, 4> octets{};
        std::size_t at = m.begin;
        for (int& octet : octets) {
          const auto [end, fault] = std::from_chars(text.data() + at, text.data() + m.end, octet);
          const auto next = static_cast<std::size_t>(end - text.data());
          if (octet > 255 || (next - at > 1 && text[at] == '0')) return;
          at = next + 1;
        }
        if (octets[0] == 127 || octets[0] == 0 || octets[0] >= 224) return;
        if (rules.version_word.matches(before(text, m.begin, 24))) return;
        const bool is_private =
            octets[0] == 10 || (octets[0] == 172 && octets[1] >= 16 && octets[1] < 32) || (octets[0] == 192 && octets[1] == 168);
        const bool is_small = std::all_of(octets.begin(), octets.end(), [](int o) { return o < 30; });
        if (!is_private && (is_small || (octets[0] < 20 && octets[3] == 0)) && !rules.address_word.matches(before(text, m.begin, 30)))
          return;
        if (finder.is_free(m.begin, m.end)) finder.take(m.begin, m.end, Kind::kIp, std::string(finder.at(m)));
      });
    }
    finder.each(rules.uuid, [&](const Match& m) { finder.shield(m); });
    if (rules.on(Kind::kIban)) {
      each_country(text, [&](std::size_t begin, const std::string& country, std::size_t rest, bool) {
        if (!is_digit(text[rest])) return;  // of the check
        const auto length = iban_length(country);
        std::string signs;
        if (length == 0) return;
        const auto end = take_signs(text, begin, length, " -.", signs);
        if (end && 2 * digits_of(signs).size() >= signs.size() && is_iban(signs) && finder.is_free(begin, end))
          finder.take(begin, end, Kind::kIban, signs);
      });
    }
    if (digits >= 6 && rules.on(Kind::kNationalId)) {
      const auto take = [&](const Match& m) {
        if (finder.is_free(m.begin, m.end)) finder.take(m.begin, m.end, Kind::kNationalId, compact(finder.at(m)));
      };
      const auto checked = [&](const Pattern& pattern, auto&& check) {
        finder.each(pattern, [&](const Match& m) {
          if (check(compact(finder.at(m)))) take(m);
        });
      };
      finder.each(rules.insurance, take);
      finder.each(rules.insurance_small, take);
      checked(rules.pension, is_german_pension_number);
      checked(rules.belgian_id, is_belgian_register_number);
      checked(rules.spanish_id, is_spanish_identity_number);
      if (digits >= 9) {
        checked(rules.french_id, is_french_security_number);
        checked(rules.austrian_id, is_austrian_insurance_number);
        checked(rules.dutch_id, is_dutch_citizen_number);
      }
      checked(rules.italian_id, is_italian_tax_code);
    }
    if (digits >= 7 && rules.on(Kind::kVat)) {
      each_country(text, [&](std::size_t begin, const std::string& country, std::size_t rest, bool small) {
        for (const int length : vat_lengths(country)) {
          std::string signs;
          const auto end = take_signs(text, rest, static_cast<std::size_t>(length), " .-", signs);
          if (!end || !finder.is_free(begin, end)) continue;
          const auto check = check_vat(country, signs);
          if (check == VatCheck::kFailed) continue;
          if ((check == VatCheck::kNone || small) && !rules.vat_word.matches(before(text, begin, 40))) continue;
          finder.take(begin, end, Kind::kVat, country + signs);
          return;
        }
      });
      finder.each(rules.bare_vat, [&](const Match& m) {
        const auto number = digits_of(finder.at(m));
        const bool known =
            (number.size() == 9 && (check_vat("GB", number) == VatCheck::kPassed || check_vat("DE", number) == VatCheck::kPassed)) ||
            (number.size() == 10 && check_vat("PL", number) == VatCheck::kPassed) ||
            (number.size() == 11 && check_vat("IT", number) == VatCheck::kPassed);
        if (known && finder.is_free(m.begin, m.end)) finder.take(m.begin, m.end, Kind::kVat, number);
      });
    }
    if (digits >= 12 && rules.on(Kind::kCard)) {
      finder.each(rules.card, [&](const Match& m) {
        // More digits may follow (a date): the longest number that checks, ending where a group ends.
        for (std::size_t end = m.end; end >= m.begin + 12; --end) {
          if (end < m.end && (is_digit(text[end]) || !is_digit(text[end - 1]))) continue;
          const auto number = digits_of(text.substr(m.begin, end - m.begin));
          const auto groups = groups_of(text.substr(m.begin, end - m.begin));
          const bool fours = std::all_of(groups.begin(), groups.end() - 1, [](std::size_t g) { return g == 4; }) && groups.back() <= 4;
          const bool as_printed = groups.size() == 1 || fours || (groups.size() == 3 && groups[0] == 4 && groups[1] == 6 && groups[2] >= 4);
          if (!as_printed) continue;
          bool sure = false;
          if (!is_card(number, sure)) continue;
          if (!sure && !rules.card_word.matches(before(text, m.begin, 40))) continue;
          if (finder.is_free(m.begin, end)) finder.take(m.begin, end, Kind::kCard, number);
          return;
        }
      });
    }
  }

  finder.each(rules.url, [&](const Match& m) { finder.shield(m); });
  if (digits >= 3 && rules.on(Kind::kPhone)) {
    // Which speaks last before a number: a word of telephones or one of other numbers.
    enum class Says { kNothing, kPhone, kOther };
    const auto context = [&](std::size_t at) {
      const auto part = before(text, at, 44);
      const auto last = [&](const Pattern& pattern) {
        std::ptrdiff_t found = -1;
        for (auto m = pattern.find(part); m; m = pattern.find(part, m->end)) {
          found = static_cast<std::ptrdiff_t>(m->end);
          if (m->end >= part.size()) break;
        }
        return found;
      };
      const auto phone = last(rules.phone_word), other = last(rules.number_word);
      return phone < 0 && other < 0 ? Says::kNothing : phone >= other ? Says::kPhone : Says::kOther;
    };
    const auto take = [&](std::size_t begin, std::size_t end) {
      while (end > begin && !is_digit(text[end - 1])) --end;
      if (!finder.is_free(begin, end)) return;
      auto number = digits_of(text.substr(begin, end - begin));
      if (number.starts_with("00")) number.erase(0, 2);
      finder.take(begin, end, Kind::kPhone, number);
    };
    const auto is_date = [&](const Match& m) {
      const auto found = rules.date.find(text, m.begin);
      return found && found->begin == m.begin;
    };
    finder.each(rules.phone_plus, [&](Match m) {
      const bool plus = text[m.begin] == '+';
      const auto lengths_at = [&](std::size_t end) {
        auto number = digits_of(text.substr(m.begin, end - m.begin));
        return plus ? number : number.substr(2);
      };
      for (std::size_t end = m.end; end > m.begin + 7; --end) {  // what follows may be another number: the longest that a country allows
        if (end < m.end && (is_digit(text[end]) || !is_digit(text[end - 1]))) continue;
        auto number = lengths_at(end);
        const auto lengths = dial_lengths(number);
        if (!lengths) return;
        const bool trunk = text.substr(m.begin, end - m.begin).find("(0") != std::string_view::npos;
        const auto size = number.size() - (trunk ? 1 : 0);
        if (size < lengths->first || size > lengths->second) continue;
        if (!plus && groups_of(text.substr(m.begin, end - m.begin)).size() == 1 && context(m.begin) != Says::kPhone) return;
        take(m.begin, end);
        return;
      }
    });
    finder.each(rules.phone_zero, [&](const Match& m) {
      const auto groups = groups_of(finder.at(m));
      const auto count = digits_of(finder.at(m)).size();
      if (is_date(m) || count < 7 || count > 14) return;
      const auto says = context(m.begin);
      if (says == Says::kOther || (says == Says::kNothing && (groups.size() > 6 || count < 8 || groups[0] < 2))) return;
      if (says == Says::kNothing && (count > 12 || (groups[0] == 5 && finder.at(m).starts_with("07") && count != 11))) return;
      const bool pairs = std::all_of(groups.begin(), groups.end(), [](std::size_t g) { return g == 2; });
      if (says == Says::kNothing && pairs && groups.size() != 5) return;
      take(m.begin, m.end);
    });
    finder.each(rules.phone_plain, [&](const Match& m) {
      const auto value = finder.at(m);
      const auto says = context(m.begin);
      const bool mobile = (value.starts_with("07") && value.size() == 11) ||
                          ((value.starts_with("06") || value.starts_with("07")) && value.size() == 10) ||
                          ((value.starts_with("015") || value.starts_with("016") || value.starts_with("017")) && value.size() >= 11);
      if (says == Says::kPhone || (mobile && says == Says::kNothing)) take(m.begin, m.end);
    });
    finder.each(rules.phone_us, [&](const Match& m) {
      if (context(m.begin) != Says::kOther) take(m.begin, m.end);
    });
    finder.each(rules.phone_said, [&](const Match& m) {
      const auto count = digits_of(finder.at(m)).size();
      const bool abroad = finder.at(m).starts_with("00") || finder.at(m).starts_with('+');
      if (count >= (abroad ? 8 : 3) && count <= 15 && !is_date(m)) take(m.begin, m.end);
    });
    finder.each(rules.phone_in_record, [&](const Match& m) { take(m.begin, m.end); });
    finder.each(rules.extension, [&](const Match& m) {
      if (finder.is_free(m.begin, m.end)) finder.take(m.begin, m.end, Kind::kPhone, digits_of(finder.at(m)));
    });
  }
  if (has_digit && rules.on(Kind::kAddress)) {
    for (const auto& pattern : rules.addresses)
      finder.each(pattern, [&](const Match& m) {
        if (!rules.no_street.matches(finder.at(m)) && finder.is_free(m.begin, m.end))
          finder.take(m.begin, m.end, Kind::kAddress, simple_fold(finder.at(m)));
      });
  }
  if (rules.on(Kind::kName)) {
    const auto mask = finder.closed();
    for (const auto& m : rules.names.find(text, mask, known_->words)) finder.take(m.begin, m.end, Kind::kName, simple_fold(finder.at(m)));
  }
  return std::move(finder).places();
}

void Redactor::learn(std::string_view text) {
  for (auto m = rules_->mark.find(text); m; m = rules_->mark.find(text, m->end)) {
    const auto mark = text.substr(m->begin + 1, m->end - m->begin - 2);
    const auto line = mark.find_last_of('_');
    int number = 0;
    std::from_chars(mark.data() + line + 1, mark.data() + mark.size(), number);
    auto& next = known_->next[std::string(mark.substr(0, line))];
    next = std::max(next, number);
    if (m->end >= text.size()) break;
  }
  if (!rules_->on(PersonalKind::kName)) return;
  const auto places = find(text);
  for (const auto& place : places) {
    const auto value = text.substr(place.begin, place.end - place.begin);
    if (place.kind == PersonalKind::kName) {
      for (const auto& word : NameFinder::words_of(value)) know(word);
    } else if (place.kind == PersonalKind::kEmail) {  // anna.schmidt@...: both are names where one is a known first name
      const auto words = NameFinder::words_of(value.substr(0, value.find('@')));
      if (words.size() != 2) continue;
      if (rules_->names.is_first_name(words[0]) || rules_->names.is_first_name(words[1])) know(words[0]), know(words[1]);
    }
  }
}

std::string Redactor::mark_for(const PersonalPlace& place, std::string_view value) {
  const std::string mark =
      place.kind == PersonalKind::kCustom ? rules_->settings.patterns[place.pattern].first : upper_mark(mark_of(place.kind));
  int number = 0;
  if (place.kind == PersonalKind::kName) {  // whoever shares a word with it
    const auto words = NameFinder::words_of(value);
    const auto shares = [&](const auto& person) {
      return std::any_of(words.begin(), words.end(),
                         [&](const auto& word) { return std::find(person.first.begin(), person.first.end(), word) != person.first.end(); });
    };
    auto person = std::find_if(known_->people.begin(), known_->people.end(), shares);
    if (person == known_->people.end()) {
      known_->people.push_back({{}, ++known_->next[mark]});
      person = known_->people.end() - 1;
    }
    for (const auto& word : words) {
      know(word);
      if (std::find(person->first.begin(), person->first.end(), word) == person->first.end()) person->first.push_back(word);
    }
    number = person->second;
  } else {
    auto [known, is_new] = known_->numbers.try_emplace({mark, place.key}, 0);
    if (is_new) known->second = ++known_->next[mark];
    number = known->second;
  }
  std::string numbered = fmt::format("{}_{}", mark, number);
  auto& values = marks_[numbered];
  if (std::find(values.begin(), values.end(), value) == values.end()) values.emplace_back(value);
  return "[" + numbered + "]";
}

std::string Redactor::redact(std::string_view text) {
  if (text.empty() || !rules_->settings.any()) return std::string(text);
  const std::vector<PersonalPlace> places = find(text);
  if (places.empty()) return std::string(text);
  Known::Looked& looked = known_->looked.at(std::string(text));
  if (looked.redacted) return *looked.redacted;  // counted already
  ++counts_.texts;
  std::string out;
  std::size_t copied = 0;
  for (const auto& place : places) {
    ++counts_.places[static_cast<std::size_t>(place.kind)];
    out.append(text, copied, place.begin - copied);
    out += mark_for(place, text.substr(place.begin, place.end - place.begin));
    copied = place.end;
  }
  out.append(text, copied);
  looked.redacted = out;
  return out;
}

}  // namespace deskhand
