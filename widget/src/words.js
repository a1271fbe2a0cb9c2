/**
 * The texts in 12 languages.
 *
 * One string a language, of ten texts: 0 on sale, 1 so many left, 2 sold out, 3 not on sale yet, 4 on sale from a date,
 * 5 registration closed, 6 sale ended, 7 no price, 8 the lowest price, 9 fees are added.
 *
 * # is the number, the date or the price. In brackets are forms: <where few are left|otherwise>, (where the number is of one
 * price), and of the plural [one|few|many|two|other], of which the last is for every category that has none of its own. The
 * order of the categories is ours: each engine has its own.
 */
import { attempt } from "./home.js";

/** @type {Record<string, string>} */
const TEXTS = {
  ar: "التذاكر متاحة./تبقت [تذكرة واحدة|# تذاكر|# تذكرة|تذكرتان|# تذكرة]< فقط>( بهذا السعر)./نفدت التذاكر./لم يبدأ البيع بعد./يبدأ البيع في #./التسجيل مغلق./انتهى البيع./مجانًا/من #/+ رسوم",
  cs: "V prodeji./Zbýv[á|ají|á] <jen ># vstupen[ka|ky|ek]( za tuto cenu)./Vyprodáno./Ještě není v prodeji./V prodeji od #./Registrace uzavřena./Prodej skončil./Zdarma/od #/+ poplatky",
  de: "Verfügbar./<Nur n|N>och # Ticket[|s]( zu diesem Preis)./Ausverkauft./Noch nicht im Verkauf./Verkauf ab #./Anmeldung geschlossen./Verkauf beendet./Kostenlos/ab #/+ Gebühren",
  en: "Available./<Only ># left( at this price)./Sold out./Not on sale yet./On sale from #./Registration is closed./Sale ended./Free/from #/+ fees",
  es: "A la venta./<Solo q|Q>ueda[|n] #( a este precio)./Agotado./Aún no está a la venta./A la venta desde el #./Inscripción cerrada./Venta finalizada./Gratis/desde #/+ cargos",
  fr: "En vente./<Plus que|Il reste> # [||de |]billet[|s]( à ce prix)./Épuisé./Pas encore en vente./En vente à partir du #./Inscriptions closes./Vente terminée./Gratuit/à partir de #/+ frais",
  he: "הכרטיסים במכירה./נותר[|ו] <רק >[כרטיס אחד|# כרטיסים]( במחיר זה)./הכרטיסים אזלו./הכרטיסים עדיין לא במכירה./המכירה תתחיל ב-#./ההרשמה סגורה./המכירה הסתיימה./חינם/מ-#/+ עמלות",
  it: "In vendita./Ne resta[|no] <solo >#( a questo prezzo)./Esaurito./Non ancora in vendita./Inizio delle vendite: #./Iscrizioni chiuse./Vendite concluse./Gratis/da #/+ commissioni",
  ja: "販売中。/(この価格は)残り<わずか>#枚。/完売。/販売開始前。/#に販売開始。/受付停止中。/販売終了。/無料/#から/+ 手数料",
  pl: "W sprzedaży./Został[|y|o] <tylko ># bilet[|y|ów]( w tej cenie)./Wyprzedane./Jeszcze nie w sprzedaży./W sprzedaży od #./Rejestracja zamknięta./Koniec sprzedaży./Bezpłatnie/od #/+ opłaty",
  pt: "À venda./Resta[|m] <apenas >#( por este preço)./Esgotado./Ainda não está à venda./À venda a partir de #./Inscrições encerradas./Vendas encerradas./Grátis/a partir de #/+ taxas",
  ru: "В продаже./Остал[ся|ось] <всего ># билет[|а|ов]( по этой цене)./Распродано./Ещё не в продаже./Начало продаж: #./Регистрация закрыта./Продажа завершена./Бесплатно/от #/+ сборы",
};

/**
 * The languages of a page's tag.
 * @param {string} tag
 * @returns {[lang: string, texts: string[], page: string]} the language of the texts, with the region if it is the page's
 *   language; the ten texts; the language of the page, also where there are no texts of it
 */
export const words = (tag) => {
  /** @type {{ baseName?: string, language?: string }} */
  const { baseName = "en", language } = attempt(() => new Intl.Locale(tag.replace(/_/g, "-")), () => ({}));
  const texts = TEXTS[language];
  return [texts ? baseName : "en", (texts ?? TEXTS.en).split("/"), baseName];
};

/**
 * Choose the forms.
 * @param {string} text
 * @param {boolean} low
 * @param {boolean} here whether the number is of one price
 * @param {() => string} category of the plural, asked for if there are forms of it
 */
export const form = (text, low, here, category) =>
  text.replace(/([<([])(.*?)[>)\]]/g, (_, kind, body) => {
    const forms = body.split("|");
    return kind === "[" ? (forms[["one", "few", "many", "two"].indexOf(category())] ?? forms.at(-1)) : (forms[(kind === "<" ? low : here) ? 0 : 1] ?? "");
  });
