declare const purifier: { sanitize(html: string, options: object): string };
export default purifier;
